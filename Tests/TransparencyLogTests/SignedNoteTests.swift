import Cryptography
import Testing
import TransparencyLog

/// The example in the documentation of Go's `golang.org/x/mod/sumdb/note`.
private enum PublishedNote {
  static let verifier = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
  static let signer = "AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"
  static let text =
    "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
  static let signatureLine =
    "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
  static var note: [UInt8] { Array((text + "\n" + signatureLine).utf8) }
}

@Suite struct SignedNoteTests {
  @Test func publishedNoteVerifies() throws {
    let key = try NoteVerifierKey<LogKeyRole>(PublishedNote.verifier)
    #expect(key.id.description == "c74f20a3")
    #expect(key.text == PublishedNote.verifier)
    let note = try SignedNote(parsing: PublishedNote.note)
    #expect(note.textString == PublishedNote.text)
    #expect(note.status(of: key) == .valid)
    #expect(note.serialized == PublishedNote.note)
  }

  @Test func publishedKeyMakesThePublishedSignature() throws {
    let seed = Array(try Base64.decode(PublishedNote.signer, maximum: 33).dropFirst())
    let key = try signingKey(LogKeyRole.self, seed: seed)
    let verifier = NoteVerifierKey(name: try NoteKeyName("PeterNeumann"), key: key.verifyingKey)
    #expect(verifier.text == PublishedNote.verifier)
    let signature = try key.signNote(text: Array(PublishedNote.text.utf8))
    let published = try #require(try SignedNote(parsing: PublishedNote.note).signatures.first)
    #expect(signature.bytes == published.bytes)
  }

  @Test func everyChangedByteOfANoteIsNoticed() throws {
    let key = try NoteVerifierKey<LogKeyRole>(PublishedNote.verifier)
    for place in PublishedNote.note.indices {
      var bytes = PublishedNote.note
      bytes[place] ^= 1
      guard let note = try? SignedNote(parsing: bytes) else { continue }
      #expect(note.status(of: key) != .valid, "byte \(place)")
    }
  }

  @Test func statusTellsAbsentFromInvalid() throws {
    let key = try NoteVerifierKey<LogKeyRole>(PublishedNote.verifier)
    var note = try SignedNote(text: "another text\n")
    #expect(note.status(of: key) == .absent)
    try note.add(try #require(try SignedNote(parsing: PublishedNote.note).signatures.first))
    #expect(note.status(of: key) == .invalid)
  }

  @Test func severalOrganizationsSign() throws {
    let names = try ["alder.example", "birch.example", "cedar.example"].map { try OrganizationName($0) }
    var note = try SignedNote(text: "first paragraph\n\nsecond paragraph\n")
    var keys: [NoteVerifierKey<IdentityKeyRole>] = []
    for (place, name) in names.enumerated() {
      let key = try signingKey(IdentityKeyRole.self, seed: UInt8(place + 1))
      try note.sign(name: name, key: key)
      try note.sign(name: name, key: key)
      keys.append(NoteVerifierKey(organization: name, key: key.verifyingKey))
    }
    let read = try SignedNote(parsing: note.serialized)
    #expect(read == note)
    #expect(read.signatures.count == 3)
    #expect(read.textString == "first paragraph\n\nsecond paragraph\n")
    for key in keys { #expect(read.status(of: key) == .valid) }
    #expect(keys.map(\.organization) == names)
  }

  @Test(arguments: [
    ("", TransparencyLogError.NoteDefect.signatureLine),
    ("text\n", .noSeparator),
    ("text\n\n", .noSignature),
    ("\n\n— a AAAAAAA=\n", .emptyText),
    ("text\n\n— a AAAAAAA=", .signatureLine),
    ("text\n\n- a AAAAAAA=\n", .signatureLine),
    ("text\n\n— a b AAAAAAA=\n", .signatureLine),
    ("text\n\n— a+b AAAAAAA=\n", .signatureLine),
    ("text\n\n—  AAAAAAA=\n", .signatureLine),
    ("text\n\n— a AAAAAA==\n", .signatureLine),
    ("text\n\n— a AAAAAAB=\n", .signatureLine),
    ("text\n\n— a AAAAAAA\n", .signatureLine),
    ("te\txt\n\n— a AAAAAAA=\n", .controlCharacter),
    ("te\r\nxt\n\n— a AAAAAAA=\n", .controlCharacter),
    ("text\n\n— a AAAAAAA=\n— a AAAAAAE=\n", .duplicateSignature),
  ])
  func malformedNotesAreRefused(text: String, defect: TransparencyLogError.NoteDefect) {
    #expect(throws: TransparencyLogError.malformedNote(defect)) { try SignedNote(parsing: Array(text.utf8)) }
  }

  @Test func boundsHold() {
    #expect(throws: TransparencyLogError.malformedNote(.tooLong)) {
      try SignedNote(parsing: [UInt8](repeating: 0x61, count: SignedNote.maximumBytes + 1))
    }
    #expect(throws: TransparencyLogError.malformedNote(.notUTF8)) { try SignedNote(parsing: [0x61, 0xFF, 0x0A]) }
    let lines = (0...SignedNote.maximumSignatures).map { "— n\($0) AAAAAAA=\n" }.joined()
    #expect(throws: TransparencyLogError.malformedNote(.tooManySignatures)) {
      try SignedNote(parsing: Array("text\n\n\(lines)".utf8))
    }
    #expect(throws: TransparencyLogError.malformedNote(.textWithoutFinalNewline)) { try SignedNote(text: "text") }
    #expect(throws: TransparencyLogError.malformedNote(.emptyText)) { try SignedNote(text: "") }
  }

  @Test func verifierKeysAreReadStrictly() throws {
    let parts = PublishedNote.verifier.split(separator: "+", maxSplits: 2).map(String.init)
    let wrongID = "\(parts[0])+c74f20a4+\(parts[2])"
    #expect(throws: TransparencyLogError.malformedVerifierKey(.keyIDMismatch)) {
      try NoteVerifierKey<LogKeyRole>(wrongID)
    }
    #expect(throws: TransparencyLogError.malformedVerifierKey(.keyIDMismatch)) {
      try NoteVerifierKey<LogKeyRole>("\(parts[0])+C74F20A3+\(parts[2])")
    }
    // A plain signing key is no witness key.
    #expect(throws: TransparencyLogError.malformedVerifierKey(.wrongSignatureType)) {
      try NoteVerifierKey<WitnessKeyRole>(PublishedNote.verifier)
    }
    for text in ["", "a", "a+b", "a+00000000", "a+0000000+AQ==", String(repeating: "a", count: 600)] {
      #expect(throws: TransparencyLogError.self) { try NoteVerifierKey<LogKeyRole>(text) }
    }
    #expect(try NoteVerifierKey<LogKeyRole>(PublishedNote.verifier + "\n").text == PublishedNote.verifier)
    #expect(throws: TransparencyLogError.self) { try NoteVerifierKey<LogKeyRole>(PublishedNote.verifier + "\n\n") }
  }

  @Test func keyNamesFollowTheFormat() throws {
    for text in ["", "a b", "a+b", "a\u{00A0}b", "a\nb", String(repeating: "a", count: 256)] {
      #expect(throws: TransparencyLogError.malformedKeyName) { try NoteKeyName(text) }
    }
    #expect(try NoteKeyName("sum.golang.org").value == "sum.golang.org")
    // Equal to Unicode, different in bytes: another signer.
    #expect(try NoteKeyName("caf\u{E9}") != NoteKeyName("cafe\u{301}"))
  }
}
