import Testing

@testable import Cryptography

@Suite struct RistrettoTests {
  struct File: Decodable {
    struct Mapped: Decodable { let uniform, element: String }
    let multiplesOfGenerator: [String]
    let invalidEncodings: [String]
    let oneWayMap: [Mapped]
  }

  /// L, the order of the group, little-endian.
  static let order = "edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010"
  static let orderMinusOne = "ecd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010"

  @Test func publishedMultiples() throws {
    let file = try vectors("ristretto255", as: File.self)
    #expect(file.multiplesOfGenerator.count == 15)
    let generator = try Scalar(small: 1).timesBasePoint()
    var sum = generator
    for (index, text) in file.multiplesOfGenerator.enumerated() {
      let element = try GroupElement(bytes: try hex(text))
      let factor = UInt32(index + 1)
      #expect(try Scalar(small: factor).timesBasePoint() == element)
      #expect(try generator.multiplied(by: Scalar(small: factor)) == element)
      #expect(try generator.multiplied(byPublic: PublicScalar(UInt64(factor))) == element)
      #expect(try Scalar(small: factor + 1).timesBasePoint() != element)
      #expect(sum == element)
      sum = try sum.adding(generator)
    }
  }

  @Test func publishedInvalidEncodings() throws {
    let file = try vectors("ristretto255", as: File.self)
    #expect(file.invalidEncodings.count == 29)
    for text in file.invalidEncodings {
      let bytes = try hex(text)
      #expect(throws: CryptographyError.invalidEncoding(of: .groupElement)) { try GroupElement(bytes: bytes) }
    }
  }

  @Test func publishedOneWayMap() throws {
    let file = try vectors("ristretto255", as: File.self)
    #expect(file.oneWayMap.count == 7)
    for vector in file.oneWayMap {
      let uniform = try hex(vector.uniform)
      #expect(Hexadecimal.encode(try GroupElement.fromUniform(uniform).bytes) == vector.element)
      #expect(Hexadecimal.encode(try GroupElement.fromUniform(altered(uniform, at: 40)).bytes) != vector.element)
    }
  }

  @Test func identityIsRefusedEverywhere() throws {
    #expect(throws: CryptographyError.identityElement) { try GroupElement(bytes: [UInt8](repeating: 0, count: 32)) }
    let zero = Scalar(small: 0)
    #expect(throws: CryptographyError.identityElement) { try zero.timesBasePoint() }
    let element = try Scalar.random().timesBasePoint()
    #expect(throws: CryptographyError.identityElement) { try element.multiplied(by: zero) }
    #expect(throws: CryptographyError.identityElement) { try element.multiplied(byPublic: PublicScalar(0)) }
    #expect(throws: CryptographyError.identityElement) { _ = try zero.sharedSecret(with: element) }
    let inverse = try element.multiplied(byPublic: PublicScalar(0).subtracting(PublicScalar(1)))
    #expect(throws: CryptographyError.identityElement) { try element.adding(inverse) }
  }

  @Test func onlyCanonicalScalars() throws {
    let largest = try Scalar(canonicalBytes: try hex(Self.orderMinusOne))
    #expect(Hexadecimal.encode(revealed(largest)) == Self.orderMinusOne)
    #expect(try PublicScalar(canonicalBytes: try hex(Self.orderMinusOne)).bytes == hex(Self.orderMinusOne))
    let bad = [
      Self.order, "eed3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010",
      "0000000000000000000000000000000000000000000000000000000000000020",
      "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
      "0100000000000000000000000000000000000000000000000000000000000080",
    ]
    for text in bad {
      let bytes = try hex(text)
      #expect(throws: CryptographyError.invalidEncoding(of: .scalar)) { _ = try Scalar(canonicalBytes: bytes) }
      #expect(throws: CryptographyError.invalidEncoding(of: .scalar)) { try PublicScalar(canonicalBytes: bytes) }
    }
    for count in [0, 31, 33] {
      let bytes = [UInt8](repeating: 0, count: count)
      #expect(throws: CryptographyError.wrongLength(of: .scalar, expected: 32, actual: count)) {
        _ = try Scalar(canonicalBytes: bytes)
      }
    }
  }

  /// Products and sums of small numbers are those of the integers.
  @Test func arithmeticAgreesWithIntegers() {
    var generator = SplitMix64(state: 2)
    for _ in 0..<100 {
      let left = UInt32.random(in: 0 ... .max, using: &generator)
      let right = UInt32.random(in: 0...left, using: &generator)
      func expected(_ value: UInt64) -> [UInt8] { PublicScalar(value).bytes }
      let first = Scalar(small: left)
      let second = Scalar(small: right)
      let publicSecond = PublicScalar(UInt64(right))
      #expect(revealed(first.adding(second)) == expected(UInt64(left) + UInt64(right)))
      #expect(revealed(first.subtracting(second)) == expected(UInt64(left) - UInt64(right)))
      #expect(revealed(first.multiplied(by: second)) == expected(UInt64(left) * UInt64(right)))
      #expect(revealed(first.multiplied(byPublic: publicSecond)) == expected(UInt64(left) * UInt64(right)))
      let publicFirst = PublicScalar(UInt64(left))
      #expect(publicFirst.adding(publicSecond).bytes == expected(UInt64(left) + UInt64(right)))
      #expect(publicFirst.subtracting(publicSecond).bytes == expected(UInt64(left) - UInt64(right)))
      #expect(publicFirst.multiplied(by: publicSecond).bytes == expected(UInt64(left) * UInt64(right)))
    }
  }

  @Test func arithmeticWrapsAtTheOrder() throws {
    let largest = try Scalar(canonicalBytes: try hex(Self.orderMinusOne))
    let one = Scalar(small: 1)
    #expect(revealed(largest.adding(one)) == [UInt8](repeating: 0, count: 32))
    #expect(Hexadecimal.encode(revealed(Scalar(small: 0).subtracting(one))) == Self.orderMinusOne)
    #expect(revealed(largest.multiplied(by: largest)) == revealed(one))
  }

  @Test func inverses() throws {
    for _ in 0..<20 {
      let scalar = Scalar.random()
      #expect(revealed(scalar.multiplied(by: try scalar.inverted())) == revealed(Scalar(small: 1)))
      let share = try PublicScalar(canonicalBytes: revealed(scalar))
      #expect(share.multiplied(by: try share.inverted()) == PublicScalar(1))
    }
    #expect(throws: CryptographyError.notInvertible) { _ = try Scalar(small: 0).inverted() }
    #expect(throws: CryptographyError.notInvertible) { try PublicScalar(0).inverted() }
  }

  @Test func batchInversion() throws {
    #expect(try PublicScalar.inverses(of: []).isEmpty)
    let scalars =
      try [1, 2, 3, .max].map { PublicScalar($0) } + [PublicScalar(canonicalBytes: hex(Self.orderMinusOne))]
    #expect(try PublicScalar.inverses(of: scalars) == scalars.map { scalar in try scalar.inverted() })
    #expect(throws: CryptographyError.notInvertible) {
      try PublicScalar.inverses(of: scalars + [PublicScalar(0)] + scalars)
    }
  }

  @Test func productsOfIntegers() {
    for (left, right) in [(0, 5), (3, 7), (.max, .max), (1 << 63, 2)] as [(UInt64, UInt64)] {
      #expect(PublicScalar(product: left, right) == PublicScalar(left).multiplied(by: PublicScalar(right)))
    }
    #expect(PublicScalar(1).negated().bytes == (try? hex(Self.orderMinusOne)))
    #expect(PublicScalar(0).negated() == PublicScalar(0))
  }

  /// f(x) = Σ c_k · x^k by powers, against Horner's rule; the points are those of the coefficients.
  @Test(arguments: [1, 2, 7])
  func polynomialValues(count: Int) throws {
    let polynomial = ScalarPolynomial(randomCount: count)
    // f at count different places determines f: with values at 0, 1, … by interpolation at 12.
    let places = (0..<count).map { PublicScalar(UInt64($0)) }
    let values = (0..<count).map { revealed(polynomial.value(at: UInt64($0))) }
    let weights = try places.map { place in
      try places.filter { $0 != place }.reduce(PublicScalar(1)) { weight, other in
        try weight.multiplied(by: PublicScalar(12).subtracting(other))
          .multiplied(by: place.subtracting(other).inverted())
      }
    }
    let interpolated = revealed(try Scalar.weightedSum(of: values, weights: weights))
    #expect(interpolated == revealed(polynomial.value(at: 12)))
    #expect(values[0] == revealed(polynomial.constant()))
    // In the exponent: the value at 3 times the base point is Σ 3^k · C_k.
    let points = try polynomial.timesBasePoint()
    #expect(points.count == 32 * count)
    var sum = try GroupElement(bytes: points.suffix(32))
    for index in (0..<(count - 1)).reversed() {
      sum = try sum.multiplied(byPublic: PublicScalar(3))
        .adding(GroupElement(bytes: points[(32 * index)..<(32 * index + 32)]))
    }
    #expect(try polynomial.value(at: 3).timesBasePoint() == sum)
    #expect(try polynomial.value(at: 4).timesBasePoint() != sum || count == 1)
  }

  @Test func clonesAreEqual() {
    let scalar = Scalar.random()
    #expect(revealed(scalar.clone()) == revealed(scalar))
    #expect(revealed(Scalar.random()) != revealed(scalar))
  }

  /// The map from scalars to elements is a homomorphism.
  @Test func groupLaw() throws {
    for _ in 0..<10 {
      let left = Scalar.random()
      let right = Scalar.random()
      let (leftPoint, rightPoint) = (try left.timesBasePoint(), try right.timesBasePoint())
      #expect(try leftPoint.adding(rightPoint) == left.adding(right).timesBasePoint())
      #expect(try leftPoint.multiplied(by: right) == left.multiplied(by: right).timesBasePoint())
      #expect(try leftPoint.adding(rightPoint) != left.subtracting(right).timesBasePoint())
    }
  }

  @Test func diffieHellman() throws {
    let left = Scalar.random()
    let right = Scalar.random()
    let fromLeft = try left.sharedSecret(with: try right.timesBasePoint())
    let fromRight = try right.sharedSecret(with: try left.timesBasePoint())
    let agree = fromLeft.constantTimeEquals(fromRight)
    #expect(agree)
    let other = try left.sharedSecret(with: try Scalar.random().timesBasePoint())
    let alsoAgree = fromLeft.constantTimeEquals(other)
    #expect(!alsoAgree)
  }
}
