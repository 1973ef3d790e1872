import Cryptography
import Federation
import Foundation
import MutualTLS
import Testing

@testable import bauta

@Suite("The rotation of a member's certificate key")
struct LifecycleRotationTests {
  /// Where a rotation can stand, interruptions included.
  enum Place: String, CaseIterable {
    case none, keyMade, announced, issued
    /// The change to the next key was interrupted before its first step, and between key and certificate.
    case switchBegun, switchHalfDone
    /// The next key is in use, and that was not stated.
    case switched
    case lost, unpinned
  }

  enum Command: String, CaseIterable {
    case rotate, cancel, install, renew
  }

  enum Outcome: Equatable {
    /// Where it stands afterwards, and how many statements were made.
    case done(OwnKeys.Rotation, statements: Int)
    case refused(String)
  }

  /// What every command does in every place.
  static func expected(_ place: Place, _ command: Command) -> Outcome {
    switch (place, command) {
    case (.none, .rotate), (.keyMade, .rotate): .done(.announced, statements: 1)
    case (.announced, .rotate), (.issued, .rotate): .done(.announced, statements: 0)
    // The end of the interrupted one is stated first.
    case (.switchBegun, .rotate), (.switchHalfDone, .rotate), (.switched, .rotate):
      .done(.announced, statements: 2)
    case (.none, .cancel), (.keyMade, .cancel): .done(.none, statements: 0)
    case (.announced, .cancel), (.issued, .cancel), (.lost, .cancel): .done(.none, statements: 1)
    case (.switchBegun, .cancel), (.switchHalfDone, .cancel), (.switched, .cancel): .refused("usage")
    case (.none, .install), (.none, .renew): .done(.none, statements: 0)
    case (.keyMade, .install), (.keyMade, .renew): .done(.keyMade, statements: 0)
    // The server knows the next key in none of these, and has a certificate for the one in use.
    case (.announced, .install), (.announced, .renew): .done(.announced, statements: 0)
    case (.issued, .install), (.issued, .renew): .done(.none, statements: 1)
    case (.switchBegun, .install), (.switchHalfDone, .install), (.switched, .install): .done(.none, statements: 1)
    case (.switchBegun, .renew), (.switchHalfDone, .renew), (.switched, .renew): .done(.none, statements: 1)
    case (.lost, .rotate), (.unpinned, .rotate), (.unpinned, .cancel): .refused("file-unsuitable")
    case (.lost, .install), (.lost, .renew): .done(.lost, statements: 0)
    case (.unpinned, .install), (.unpinned, .renew): .refused("certificate-for-another-key")
    }
  }

  private func bring(_ federation: LifecycleFederation, to place: Place) throws -> OrganizationDirectory {
    let alder = try federation.organization("alder.example")
    switch place {
    case .none: break
    case .keyMade: _ = try PrivateKey.generate(creatingFile: alder.nextTLSKeyPath)
    case .announced: _ = try Rotation.begin(in: alder)
    case .lost:
      _ = try Rotation.begin(in: alder)
      try alder.discardNextTLSKey()
    case .unpinned:
      unlink(alder.tlsKeyPath)
      _ = try PrivateKey.generate(creatingFile: alder.tlsKeyPath)
    case .issued, .switchBegun, .switchHalfDone, .switched:
      _ = try Rotation.issue(RotationRequest(contentsOf: Rotation.begin(in: alder).path), in: federation.server)
      guard place != .issued else { break }
      let chain = try Invitation(contentsOf: federation.invitation(alder)).certificateChain
      try AtomicFile.replace(alder.nextCertificatePath, bytes: Array(chain.utf8))
      if place == .switchHalfDone { rename(alder.nextTLSKeyPath, alder.tlsKeyPath) }
      if place == .switched { try alder.completeCredentialSwitch() }
    }
    return alder
  }

  private func perform(
    _ command: Command, at alder: OrganizationDirectory, _ federation: LifecycleFederation
  ) throws {
    switch command {
    case .rotate: _ = try Rotation.begin(in: alder)
    case .cancel: _ = try Rotation.cancel(in: alder)
    case .install:
      _ = try Approval.approve(Approval.propose(federation.invitation(alder), to: alder))
    case .renew:
      _ = try Renewal.renew([alder.name], in: federation.server, lifetime: .days(90))
      _ = try Approval.approve(Approval.propose(federation.invitation(alder), to: alder))
    }
  }

  @Test("Every command in every place of a rotation", arguments: Place.allCases, Command.allCases)
  func table(_ place: Place, _ command: Command) throws {
    let federation = try LifecycleFederation(["alder.example", "birch.example", "cedar.example"])
    defer { federation.remove() }
    let alder = try bring(federation, to: place)
    let before = try alder.pinStatements().first { $0.name == alder.name }?.sequence ?? 0
    let outcome: Outcome
    do {
      try perform(command, at: alder, federation)
      outcome = .done(try alder.rotation(), statements: try alder.sequence() - before)
    } catch let error as any BlamedError {
      outcome = .refused(error.code)
    }
    #expect(outcome == Self.expected(place, command))
    guard place != .unpinned else { return }
    // Whatever happened: what is installed is a pair, and the server takes it for this organisation's.
    let certificate = try alder.matchingCertificate()
    #expect(try federation.owner(of: certificate.publicKeyHash) == alder.name)
    // What was said last reaches the server, and it still does.
    try federation.sayHello(alder)
    #expect(try federation.owner(of: certificate.publicKeyHash) == alder.name)
  }

  @Test("The status says where a rotation stands, and changes nothing", arguments: Place.allCases)
  func status(_ place: Place) throws {
    let federation = try LifecycleFederation(["alder.example", "birch.example", "cedar.example"])
    defer { federation.remove() }
    let alder = try bring(federation, to: place)
    let before = try LifecycleFederation.files(federation.root)
    let status = try FederationStatus(.organization(alder))
    #expect(try LifecycleFederation.files(federation.root) == before)
    let expected =
      switch place {
      case .none: "none"
      case .keyMade: "key-made"
      case .announced, .issued: "announced"
      case .switchBegun, .switchHalfDone: "interrupted"
      case .switched: "switched"
      case .lost: "lost"
      case .unpinned: "unpinned"
      }
    #expect(status.ownRotation.word == expected)
  }

  // MARK: - Any sequence

  private enum Step {
    case rotate, cancel, deliver, install, installOld, renew, hello, interrupt, interruptHalfDone

    /// The steps of a rotation more often than what disturbs it, so that many are completed.
    static let weighted: [Step] =
      [.cancel, .installOld, .renew, .hello, .interrupt, .interruptHalfDone]
      + [Step](repeating: .rotate, count: 3) + [Step](repeating: .deliver, count: 3)
      + [Step](repeating: .install, count: 3)
  }

  private struct Generator: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
      // SplitMix64.
      state &+= 0x9E37_79B9_7F4A_7C15
      var z = state
      z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
      z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
      return z ^ (z >> 31)
    }
  }

  @Test(
    "After any sequence of commands, interruptions and late deliveries the pair matches, and the server accepts it",
    arguments: 1...8)
  func anySequence(_ seed: UInt64) throws {
    let federation = try LifecycleFederation(["alder.example", "birch.example", "cedar.example"])
    defer { federation.remove() }
    let alder = try federation.organization("alder.example")
    var generator = Generator(state: seed)
    var invitations = [federation.invitation(alder)]
    var rotations: [String] = []
    var done: [Step] = []
    for number in 0..<40 {
      let step = try #require(Step.weighted.randomElement(using: &generator))
      done.append(step)
      do {
        try perform(step, number, at: alder, federation, &invitations, &rotations, &generator)
      } catch is any BlamedError {
        // Refused, as many must be: out of turn, withdrawn, older.
      }
      try alder.completeCredentialSwitch()
      let certificate = try alder.matchingCertificate()
      #expect(try federation.owner(of: certificate.publicKeyHash) == alder.name, "seed \(seed): \(done)")
    }
    // Nothing of it is a dead end: the ordinary way leads to a new key from here.
    let last = try alder.matchingCertificate().publicKeyHash
    if try alder.rotation() == .lost { _ = try Rotation.cancel(in: alder) }
    let begun = try Rotation.begin(in: alder)
    _ = try Rotation.issue(RotationRequest(contentsOf: begun.path), in: federation.server)
    _ = try Approval.approve(Approval.propose(federation.invitation(alder), to: alder))
    let certificate = try alder.matchingCertificate()
    #expect(certificate.publicKeyHash == begun.nextKey && certificate.publicKeyHash != last)
    try federation.sayHello(alder)
    #expect(try federation.owner(of: last) == nil, "the old key opens nothing any more")
    for other in ["birch.example", "cedar.example"] {
      let other = try federation.organization(other)
      #expect(try federation.owner(of: other.matchingCertificate().publicKeyHash) == other.name)
    }
  }

  private func perform(
    _ step: Step, _ number: Int, at alder: OrganizationDirectory, _ federation: LifecycleFederation,
    _ invitations: inout [String], _ rotations: inout [String], _ generator: inout Generator
  ) throws {
    func keep(_ path: String, in list: inout [String]) throws {
      let copy = "\(federation.root)/\(number).json"
      try FileManager.default.copyItem(atPath: path, toPath: copy)
      list.append(copy)
    }
    switch step {
    case .rotate: try keep(Rotation.begin(in: alder).path, in: &rotations)
    case .cancel:
      guard let ended = try Rotation.cancel(in: alder) else { return }
      try keep(ended.path, in: &rotations)
    case .deliver:
      // Mostly the latest, sometimes one that was overtaken.
      let late = Int.random(in: 0..<4, using: &generator) == 0
      guard let path = late ? rotations.randomElement(using: &generator) : rotations.last else { return }
      let issued = try Rotation.issue(RotationRequest(contentsOf: path), in: federation.server)
      if let path = issued.invitation { try keep(path, in: &invitations) }
    case .install:
      _ = try Approval.approve(Approval.propose(federation.invitation(alder), to: alder))
    case .installOld:
      let path = try #require(invitations.randomElement(using: &generator))
      _ = try Approval.approve(Approval.propose(path, to: alder))
    case .renew: _ = try Renewal.renew([alder.name], in: federation.server)
    case .hello: try federation.sayHello(alder)
    case .interrupt, .interruptHalfDone:
      // The very beginning of what installing does, if the invitation is that of the next key.
      let proposal = try Approval.propose(federation.invitation(alder), to: alder)
      guard proposal.certificateChange == .rotated else { return }
      try AtomicFile.replace(alder.nextCertificatePath, bytes: Array(AuthorityFiles.pem(proposal.chain).utf8))
      if step == .interruptHalfDone { rename(alder.nextTLSKeyPath, alder.tlsKeyPath) }
    }
  }

  @Test("The server's own key: refused without its organisations, and taken by every one of them before")
  func server() throws {
    let federation = try LifecycleFederation()
    defer { federation.remove() }
    let server = federation.server
    let old = try Certificate(contentsOfFile: server.tlsCertificatePath).publicKeyHash
    let begun = try ServerRotation.begin(in: server, reason: "yearly")
    #expect(try ServerRotation.begin(in: server).wasPending)
    let next = try #require(begun.statement.pins.next)
    #expect(throws: CommandError.self) { try ServerRotation.finish(in: server) }
    #expect(try Certificate(contentsOfFile: server.tlsCertificatePath).publicKeyHash == old)
    for organization in federation.organizations {
      #expect(try Approval.take(begun.statement, in: organization).isNew)
      let pins = try organization.pins(under: organization.ownManifest()).server
      #expect(Set(pins.keys) == [old, next])
    }
    let finished = try ServerRotation.finish(in: server, force: true)
    let identity = try TLSIdentity(
      certificateFile: server.tlsCertificatePath, privateKey: .resolve(keyPath: server.tlsKeyPath))
    #expect(identity.chain[0].publicKeyHash == next)
    #expect(finished.statement.pins == Manifest.Pins(current: next))
    // The invitation brings the last word to whoever comes next.
    let alder = try federation.organization("alder.example")
    _ = try Approval.approve(Approval.propose(federation.invitation(alder), to: alder))
    #expect(try Set(alder.pins(under: alder.ownManifest()).server.keys) == [next])
  }

  @Test("An interrupted change of the server's key is finished, and then stated")
  func interruptedServer() throws {
    let federation = try LifecycleFederation()
    defer { federation.remove() }
    let server = federation.server
    let next = try #require(try ServerRotation.begin(in: server).statement.pins.next)
    let issued = AuthorityFiles.nextIssuedPath(server, server.name)
    try AtomicFile.replace(
      server.nextCertificatePath, bytes: Array(try Data(contentsOf: URL(fileURLWithPath: issued))))
    rename(server.nextTLSKeyPath, server.tlsKeyPath)
    let finished = try ServerRotation.finish(in: server)
    #expect(finished.statement.pins == Manifest.Pins(current: next))
    #expect(try Certificate(contentsOfFile: server.tlsCertificatePath).publicKeyHash == next)
  }
}
