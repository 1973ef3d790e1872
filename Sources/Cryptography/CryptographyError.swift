/// What can go wrong with keys, encodings and primitives. Never carries a secret.
public enum CryptographyError: BlamedError, Hashable {
  /// A library that the package needs did not start or lacks an algorithm.
  case libraryUnavailable(CryptographicLibrary)
  /// A library reported a failure that no input explains.
  case operationFailed(CryptographicOperation)
  case wrongLength(of: CryptographicValue, expected: Int, actual: Int)
  /// Bytes of the right length that encode no usable value: not a point, not canonical, or of small order.
  case invalidEncoding(of: CryptographicValue)
  /// The result of a group operation is the identity, which is never a key or a commitment.
  case identityElement
  /// A key agreement with this public key would give a secret that everybody knows.
  case weakAgreement
  /// Zero has no inverse.
  case notInvertible
  /// A sealed box was altered, or sealed under another key or for another purpose.
  case authenticationFailed
  /// The text of a signed note contains a NUL byte.
  case noteContainsNul
  case invalidOrganizationName(OrganizationNameFault)
  /// Text that is not strict Base64 or hexadecimal.
  case invalidText(TextEncoding)
  /// Text or bytes longer than the stated bound, found before memory was taken.
  case tooLong(maximum: Int)
  case malformedEncoding(EncodingFault)
  /// A decoded field has a value outside its declared set.
  case malformedField
  /// A derived key of this many bytes cannot be made, or its inputs are out of range.
  case invalidDerivation
  /// A position in a mask stream is not a multiple of 64 bytes.
  case misalignedSeek(byte: UInt64)
  /// The position in a mask stream would pass 2⁶⁴ bytes.
  case keystreamExhausted
}

/// The libraries that the primitives come from.
public enum CryptographicLibrary: String, Sendable {
  case libsodium
  case libcrypto
}

/// The operations that may fail for no reason in their input.
public enum CryptographicOperation: String, Sendable {
  case keyGeneration = "key generation"
  case keyDerivation = "key derivation"
  case maskExpansion = "mask expansion"
  case processProtection = "forbidding core dumps"
}

/// The values that have a fixed encoding.
public enum CryptographicValue: String, Sendable {
  case digest
  case signature
  case signingSeed = "signing seed"
  case verifyingKey = "verifying key"
  case channelKey = "channel key"
  case maskSeed = "mask seed"
  case scalar
  case sharePair = "pair of shares"
  case groupElement = "group element"
  case sealedBox = "sealed box"
  case auditorKey = "auditor's secret key"
}

/// The text encodings of bytes.
public enum TextEncoding: String, Sendable {
  case base64 = "Base64"
  case hexadecimal
}

/// Why bytes are not a canonical encoding.
public enum EncodingFault: String, Sendable {
  /// The bytes end inside a field, or a declared length is beyond their end.
  case truncated
  case trailingBytes = "trailing-bytes"
  case wrongLabel = "wrong-label"
  /// A byte string or list is longer than its bound.
  case fieldTooLong = "field-too-long"
  case invalidFlag = "invalid-flag"
  case invalidText = "invalid-text"
}

/// Why a text is not an organisation name.
public enum OrganizationNameFault: String, Sendable {
  case empty
  case tooLong = "too-long"
  case labelEmpty = "empty-label"
  case labelTooLong = "label-too-long"
  case forbiddenCharacter = "forbidden-character"
  case hyphenAtEdge = "hyphen-at-edge"
}

extension CryptographyError {
  public var code: String {
    switch self {
    case .libraryUnavailable: "library-unavailable"
    case .operationFailed: "operation-failed"
    case .wrongLength: "wrong-length"
    case .invalidEncoding: "invalid-encoding"
    case .identityElement: "identity-element"
    case .weakAgreement: "weak-agreement"
    case .notInvertible: "not-invertible"
    case .authenticationFailed: "authentication-failed"
    case .noteContainsNul: "note-contains-nul"
    case .invalidOrganizationName(let fault): "organization-name-\(fault.rawValue)"
    case .invalidText: "invalid-text-encoding"
    case .tooLong: "too-long"
    case .malformedEncoding(let fault): "encoding-\(fault.rawValue)"
    case .malformedField: "malformed-field"
    case .invalidDerivation: "invalid-derivation"
    case .misalignedSeek: "misaligned-seek"
    case .keystreamExhausted: "keystream-exhausted"
    }
  }

  public var blame: Blame {
    switch self {
    case .libraryUnavailable, .operationFailed: .local
    case .wrongLength, .invalidEncoding, .identityElement, .weakAgreement, .authenticationFailed, .invalidText,
      .tooLong, .malformedEncoding, .malformedField:
      .peer
    case .notInvertible, .noteContainsNul, .invalidOrganizationName, .invalidDerivation, .misalignedSeek,
      .keystreamExhausted:
      .caller
    }
  }

  public var message: String {
    switch self {
    case .libraryUnavailable(let library): "\(library.rawValue) did not start or lacks a needed algorithm."
    case .operationFailed(let operation): "The cryptographic library failed during \(operation.rawValue)."
    case .wrongLength(let value, let expected, let actual):
      "A \(value.rawValue) must have \(expected) bytes; this one has \(actual)."
    case .invalidEncoding(let value): "The bytes are not a valid \(value.rawValue)."
    case .identityElement: "A group operation gave the identity element, which is refused."
    case .weakAgreement: "The channel key has small order: an agreement with it would not be secret."
    case .notInvertible: "Zero has no inverse."
    case .authenticationFailed: "A sealed box does not open: it was altered or is meant for another use."
    case .noteContainsNul: "The text of a note contains a NUL byte."
    case .invalidOrganizationName(let fault): "The organisation name is not valid: \(fault.explanation)."
    case .invalidText(let encoding): "The text is not strict \(encoding.rawValue)."
    case .tooLong(let maximum): "The input is longer than the bound of \(maximum) bytes."
    case .malformedEncoding(let fault): "The canonical encoding is not valid: \(fault.explanation)."
    case .malformedField: "A decoded field has a value outside its declared set."
    case .invalidDerivation: "The inputs or the length of a key derivation are out of range."
    case .misalignedSeek(let byte): "The mask stream position \(byte) is not a multiple of 64."
    case .keystreamExhausted: "A mask stream would pass its last byte."
    }
  }

  public var remedy: String {
    switch self {
    case .libraryUnavailable:
      "Install libsodium 1.0.18 and OpenSSL 3.0 or later, with the default provider enabled."
    case .operationFailed: "Check that the machine has free memory, then start the program again."
    case .wrongLength, .invalidEncoding, .identityElement, .weakAgreement, .malformedEncoding, .malformedField,
      .tooLong:
      "Refuse what was received and ask its sender for a correct copy."
    case .authenticationFailed: "Treat what was received as altered in transit and do not use it."
    case .notInvertible: "Use indices that are distinct and not zero."
    case .noteContainsNul: "Remove the NUL byte; notes are plain text."
    case .invalidOrganizationName:
      "Use a host-name-like name: lowercase letters, digits and hyphens, with dots between labels."
    case .invalidText: "Copy the text again, complete and without spaces or line breaks."
    case .invalidDerivation: "Derive between 1 and 8160 bytes from a secret, with at most 1024 bytes of information."
    case .misalignedSeek: "Seek to a multiple of 64 bytes."
    case .keystreamExhausted: "Use a new seed."
    }
  }
}

extension OrganizationNameFault {
  fileprivate var explanation: String {
    switch self {
    case .empty: "it is empty"
    case .tooLong: "it has more than 253 characters"
    case .labelEmpty: "two dots have nothing between them, or a dot is at an end"
    case .labelTooLong: "a part between dots has more than 63 characters"
    case .forbiddenCharacter: "it has a character that is not a lowercase letter, a digit, a hyphen or a dot"
    case .hyphenAtEdge: "a part between dots starts or ends with a hyphen"
    }
  }
}

extension EncodingFault {
  fileprivate var explanation: String {
    switch self {
    case .truncated: "it ends inside a field"
    case .trailingBytes: "bytes follow its last field"
    case .wrongLabel: "its label is another"
    case .fieldTooLong: "a field is longer than its bound"
    case .invalidFlag: "a flag is neither 0 nor 1"
    case .invalidText: "a text is not UTF-8"
    }
  }
}
