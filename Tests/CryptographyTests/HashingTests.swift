import Testing

@testable import Cryptography

@Suite struct HashingTests {}
