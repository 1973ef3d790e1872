import Cryptography
import Testing

@testable import SecureAggregation

@Suite("Secret sharing")
struct SecretSharingTests {
  /// Small multiples of the ristretto255 generator, RFC 9496 appendix A.1.
  private func multiple(_ index: Int) throws -> GroupElement {
    let vectors = [
      1: "e2f2ae0a6abc4e71a884a961c500515f58e30b6aa582dd8db6a65945e08d2d76",
      2: "6a493210f7499cd17fecb510ae0cea23a110e8d5b901f8acadd3095c73a3b919",
      3: "94741f5d5d52755ece4f23f044ee27d5d1ea1e2bd196b462166b16152a9d0259",
      5: "e882b131016b52c1d3337080187cf768423efccbb517bb495ab812c4160ff44e",
      7: "44f53520926ec81fbd5a387845beb7df85a96a24ece18738bdcfa6a7822a176d",
    ]
    return try GroupElement(bytes: Hexadecimal.decode(try #require(vectors[index])))
  }

  private func bytes(_ value: UInt8) -> [UInt8] { [value] + [UInt8](repeating: 0, count: 31) }

  @Test("f(x) = 3 + 2x: commitments, shares and the secret, with their negative twins")
  func vectors() throws {
    let commitments = FeldmanCommitments(points: [try multiple(3), try multiple(2)])
    #expect(commitments.commitment(at: 1) == (try multiple(5)))
    #expect(commitments.commitment(at: 2) == (try multiple(7)))
    #expect(commitments.verifies(share: bytes(5), at: 1))
    #expect(commitments.verifies(share: bytes(7), at: 2))
    #expect(!commitments.verifies(share: bytes(6), at: 1))
    #expect(!commitments.verifies(share: bytes(5), at: 2))
    #expect(!commitments.verifies(share: bytes(0), at: 1))
    #expect(!commitments.verifies(share: [UInt8](repeating: 0xff, count: 32), at: 1))
    #expect(!commitments.verifies(share: [5], at: 1))
    #expect(!FeldmanCommitments(points: []).verifies(share: bytes(5), at: 1))
    #expect(!FeldmanCommitments(points: []).isWellFormed)

    let coefficients = try SecretSharing.lagrangeCoefficients(at: [1, 2])
    let secret = try SecretSharing.reconstruct(shares: [bytes(5), bytes(7)], coefficients: coefficients)
    #expect(secret.withUnsafeBytes { Array($0) } == bytes(3))
    let wrong = try SecretSharing.reconstruct(shares: [bytes(5), bytes(8)], coefficients: coefficients)
    #expect(wrong.withUnsafeBytes { Array($0) } != bytes(3))
  }

  @Test("Commitments are bytes; what encodes no points commits to nothing")
  func lazyCommitments() throws {
    let points = [try multiple(3), try multiple(2)]
    let made = FeldmanCommitments(points: points)
    let received = try FeldmanCommitments(bytes: points[0].bytes + points[1].bytes)
    #expect(received == made)
    #expect(received.count == 2)
    #expect(received.isWellFormed)
    #expect(try received.points() == points)
    #expect(try received.point(at: 1) == points[1])
    for count in [0, 1, 31, 33, 63] {
      let expected = count > 32 ? 64 : 32
      #expect(throws: CryptographyError.wrongLength(of: .groupElement, expected: expected, actual: count)) {
        try FeldmanCommitments(bytes: [UInt8](repeating: 0, count: count))
      }
    }
    let zeros = [UInt8](repeating: 0, count: 32)
    let ones = [UInt8](repeating: 0xff, count: 32)
    for (bad, error) in [(zeros, CryptographyError.identityElement), (ones, .invalidEncoding(of: .groupElement))] {
      for bytes in [bad, points[0].bytes + bad, bad + points[0].bytes] {
        let commitments = try FeldmanCommitments(bytes: bytes)
        #expect(!commitments.isWellFormed)
        #expect(throws: error) { try commitments.points() }
        #expect(commitments.commitment(at: 1) == nil)
        #expect(!commitments.verifies(share: self.bytes(5), at: 1))
      }
    }
  }

  @Test("A share that is not a canonical scalar is refused")
  func nonCanonical() throws {
    // The group order itself.
    let order = try Hexadecimal.decode(
      "edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010")
    let coefficients = try SecretSharing.lagrangeCoefficients(at: [1])
    #expect(throws: CryptographyError.self) {
      _ = try SecretSharing.reconstruct(shares: [order], coefficients: coefficients)
    }
    var below = order
    below[0] -= 1
    #expect(throws: Never.self) {
      _ = try SecretSharing.reconstruct(shares: [below], coefficients: coefficients)
    }
    let two = try SecretSharing.lagrangeCoefficients(at: [1, 2])
    #expect(throws: CryptographyError.invalidEncoding(of: .scalar)) {
      _ = try SecretSharing.reconstruct(shares: [below, order], coefficients: two)
    }
    #expect(throws: CryptographyError.wrongLength(of: .scalar, expected: 32, actual: 31)) {
      _ = try SecretSharing.reconstruct(shares: [below, Array(below.dropLast())], coefficients: two)
    }
  }

  @Test("Lagrange coefficients need distinct indices")
  func coefficients() throws {
    #expect(try SecretSharing.lagrangeCoefficients(at: [4]) == [PublicScalar(1)])
    #expect(
      try SecretSharing.lagrangeCoefficients(at: [1, 2]) == [
        PublicScalar(2), PublicScalar(0).subtracting(PublicScalar(1)),
      ])
    #expect(try SecretSharing.lagrangeCoefficients(at: []).isEmpty)
    for indices in [[1, 2, 1], [0], [3, 0]] {
      #expect(throws: CryptographyError.notInvertible) { try SecretSharing.lagrangeCoefficients(at: indices) }
    }
  }

  /// Against the formula itself, with indices so large that products pass one, two and more machine words.
  @Test("Lagrange coefficients of large cohorts are those of the formula", arguments: [2, 5, 17, 85])
  func largeIndices(count: Int) throws {
    for largest in [count, 10_000, 1 << 40, Int.max] {
      let indices = (0..<count).map { $0 % 2 == 0 ? $0 + 1 : largest - $0 }
      guard Set(indices).count == count else { continue }
      let coefficients = try SecretSharing.lagrangeCoefficients(at: indices)
      for place in [0, 1, count - 1] {
        var expected = PublicScalar(1)
        for other in indices where other != indices[place] {
          let (above, here) = (PublicScalar(UInt64(other)), PublicScalar(UInt64(indices[place])))
          expected = try expected.multiplied(by: above).multiplied(by: above.subtracting(here).inverted())
        }
        #expect(coefficients[place] == expected)
      }
    }
  }

  @Test("A secret of a cohort of 10,000 comes back from t = 85 shares")
  func largeThreshold() throws {
    let polynomial = try SecretPolynomial(threshold: 85)
    let indices = (0..<85).map { 10_000 - 97 * $0 }
    var shares: [[UInt8]] = []
    for index in indices {
      // Both ways to write a share agree, and other slots stay.
      var slots = SecretBytes(count: 96)
      polynomial.writeShare(at: index, into: &slots, slot: 1)
      let bytes = slots.withUnsafeBytes { Array($0) }
      #expect(bytes[..<32].allSatisfy { $0 == 0 } && bytes[64...].allSatisfy { $0 == 0 })
      #expect(try polynomial.share(at: index).withUnsafeBytes { Array($0) } == Array(bytes[32..<64]))
      shares.append(Array(bytes[32..<64]))
    }
    let coefficients = try SecretSharing.lagrangeCoefficients(at: indices)
    let secret = try SecretSharing.reconstruct(shares: shares, coefficients: coefficients)
    #expect(try secret.timesBasePoint() == polynomial.commitments().point(at: 0))
    shares[84][0] ^= 1
    let wrong = try SecretSharing.reconstruct(shares: shares, coefficients: coefficients)
    #expect(try wrong.timesBasePoint() != polynomial.commitments().point(at: 0))
    #expect(try polynomial.commitments().verifies(share: shares[0], at: indices[0]))
    #expect(try !polynomial.commitments().verifies(share: shares[84], at: indices[84]))
  }

  @Test("Any t shares give the secret, t − 1 do not", arguments: 2...6)
  func anySubset(threshold: Int) throws {
    let polynomial = try SecretPolynomial(threshold: threshold)
    let secret = try polynomial.constant().withUnsafeBytes { Array($0) }
    let commitments = try polynomial.commitments()
    #expect(commitments.count == threshold)
    #expect(try commitments.point(at: 0) == SecretSharing.basePointMultiple(of: secret))
    let shares = try (1...7).map { try polynomial.share(at: $0).withUnsafeBytes { Array($0) } }
    for (index, share) in shares.enumerated() {
      #expect(commitments.verifies(share: share, at: index + 1))
      #expect(!commitments.verifies(share: share, at: index + 2))
    }
    func recovered(_ indices: [Int]) throws -> [UInt8] {
      try SecretSharing.reconstruct(
        shares: indices.map { shares[$0 - 1] },
        coefficients: try SecretSharing.lagrangeCoefficients(at: indices)
      ).withUnsafeBytes { Array($0) }
    }
    for subset in 0..<128 where subset.nonzeroBitCount == threshold || subset.nonzeroBitCount == threshold - 1 {
      let indices = (1...7).filter { subset >> ($0 - 1) & 1 == 1 }
      guard !indices.isEmpty else { continue }
      #expect(try recovered(indices) == secret || indices.count < threshold)
      #expect(try recovered(indices) != secret || indices.count == threshold)
    }
  }

  @Test("The vault knows whose shares it holds")
  func vault() throws {
    var vault = ShareVault(ownerCount: 3)
    vault.store(maskShare: Scalar(small: 4), selfMaskShare: Scalar(small: 9), for: 1)
    #expect(held(vault) == [false, true, false])
  }

  private func held(_ vault: borrowing ShareVault) -> [Bool] {
    var held: [Bool] = []
    for slot in 0..<3 { held.append(vault.holds(slot)) }
    return held
  }

  private func secret(_ bytes: [UInt8]) -> SecretBytes {
    var secret = SecretBytes(count: bytes.count)
    secret.withUnsafeMutableBytes { $0.copyBytes(from: bytes) }
    return secret
  }

  @Test("The vault takes opened pairs of canonical scalars and nothing else")
  func vaultOfPlaintexts() throws {
    var vault = ShareVault(ownerCount: 3)
    try vault.store(secret(bytes(4) + bytes(9)), for: 2)
    let order = try Hexadecimal.decode("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010")
    for (plaintext, error) in [
      (order + bytes(9), CryptographyError.invalidEncoding(of: .scalar)),
      (bytes(4) + order, .invalidEncoding(of: .scalar)),
      (bytes(4), .wrongLength(of: .sharePair, expected: 64, actual: 32)),
      (bytes(4) + bytes(9) + [0], .wrongLength(of: .sharePair, expected: 64, actual: 65)),
    ] {
      let caught = failure { () throws(CryptographyError) in try vault.store(secret(plaintext), for: 0) }
      #expect(caught == error)
    }
    #expect(held(vault) == [false, false, true])
  }

  private func failure(_ body: () throws(CryptographyError) -> Void) -> CryptographyError? {
    do throws(CryptographyError) {
      try body()
      return nil
    } catch {
      return error
    }
  }
}
