import Foundation

/// The discrete Fourier transform of a power-of-two length, iterative, radix 2.
///
/// Every output is a sum of the inputs times rounded roots of unity, and each input reaches it over log₂N butterflies of
/// one complex product (relative error √5·u), one rounded root (u) and one sum (u) each. So an output errs by at most
/// `relativeError(levels:)` times the sum of the inputs' magnitudes, and the whole by as much in the Euclidean norm (Higham,
/// Accuracy and Stability of Numerical Algorithms, section 24.1).
struct FourierTransform {
  /// u: half the distance from 1 to the next number.
  static let unitRoundoff = 0x1p-53

  private let levels: Int
  private let cosines: [Double]
  private let sines: [Double]

  /// Length 2 to the power of `levels`, from 1 to 30.
  init(levels: Int) {
    self.levels = levels
    let count = 1 << levels
    let half = count / 2
    var cosines = [Double](repeating: 0, count: half)
    var sines = [Double](repeating: 0, count: half)
    for index in 0..<half {
      let angle = 2 * Double.pi * Double(index) / Double(count)
      cosines[index] = cos(angle)
      sines[index] = -sin(angle)
    }
    self.cosines = cosines
    self.sines = sines
  }

  static func relativeError(levels: Int) -> Double { 5 * Double(levels) * unitRoundoff }

  /// X_k = Σ x_l·exp(−2πikl/N), in place.
  func forward(_ values: inout ComplexValues) {
    values.real.withUnsafeMutableBufferPointer { real in
      values.imaginary.withUnsafeMutableBufferPointer { imaginary in
        transform(real, imaginary)
      }
    }
  }

  /// x_l = (1/N)·Σ X_k·exp(2πikl/N), in place.
  func inverse(_ values: inout ComplexValues) {
    // With real and imaginary parts exchanged, the forward transform is the inverse one, N times as large.
    values.imaginary.withUnsafeMutableBufferPointer { imaginary in
      values.real.withUnsafeMutableBufferPointer { real in
        transform(imaginary, real)
        let scale = 1 / Double(real.count)
        for index in real.indices {
          real[index] *= scale
          imaginary[index] *= scale
        }
      }
    }
  }

  private func transform(_ real: UnsafeMutableBufferPointer<Double>, _ imaginary: UnsafeMutableBufferPointer<Double>) {
    let count = real.count
    for index in 1..<count {
      let other = Int(UInt(bitPattern: index).bitReversed >> (UInt.bitWidth - levels))
      if index < other {
        real.swapAt(index, other)
        imaginary.swapAt(index, other)
      }
    }
    cosines.withUnsafeBufferPointer { cosines in
      sines.withUnsafeBufferPointer { sines in
        var half = 1
        while half < count {
          let stride = count / (2 * half)
          for start in Swift.stride(from: 0, to: count, by: 2 * half) {
            for offset in 0..<half {
              let low = start + offset
              let high = low + half
              let c = cosines[offset * stride]
              let s = sines[offset * stride]
              let productReal = real[high] * c - imaginary[high] * s
              let productImaginary = real[high] * s + imaginary[high] * c
              real[high] = real[low] - productReal
              imaginary[high] = imaginary[low] - productImaginary
              real[low] += productReal
              imaginary[low] += productImaginary
            }
          }
          half *= 2
        }
      }
    }
  }
}

extension UInt {
  fileprivate var bitReversed: UInt {
    var value = UInt64(self).byteSwapped
    value = (value >> 4) & 0x0F0F_0F0F_0F0F_0F0F | (value & 0x0F0F_0F0F_0F0F_0F0F) << 4
    value = (value >> 2) & 0x3333_3333_3333_3333 | (value & 0x3333_3333_3333_3333) << 2
    value = (value >> 1) & 0x5555_5555_5555_5555 | (value & 0x5555_5555_5555_5555) << 1
    return UInt(value)
  }
}

/// Complex numbers, parts apart.
struct ComplexValues {
  var real: [Double]
  var imaginary: [Double]

  init(repeating value: Double, count: Int) {
    real = [Double](repeating: value, count: count)
    imaginary = [Double](repeating: 0, count: count)
  }

  /// Multiplies each value by the power of its partner; errs relatively by at most √5·u a factor.
  mutating func multiply(by other: ComplexValues, power: Int) {
    for index in real.indices {
      var baseReal = other.real[index]
      var baseImaginary = other.imaginary[index]
      var remaining = power
      var resultReal = real[index]
      var resultImaginary = imaginary[index]
      while remaining > 0 {
        if remaining & 1 == 1 {
          (resultReal, resultImaginary) = (
            resultReal * baseReal - resultImaginary * baseImaginary,
            resultReal * baseImaginary + resultImaginary * baseReal
          )
        }
        remaining >>= 1
        (baseReal, baseImaginary) = (
          baseReal * baseReal - baseImaginary * baseImaginary, 2 * baseReal * baseImaginary
        )
      }
      real[index] = resultReal
      imaginary[index] = resultImaginary
    }
  }
}
