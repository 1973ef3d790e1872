import Cryptography
import Foundation
import Testing
import TransparencyLog

@Suite struct WitnessRequestTests {
  @Test func textFollowsTheFormat() throws {
    let request = try TestLog(8).request(from: 6)
    #expect(request.hashes.count == 3)
    let lines = String(decoding: request.serialized, as: UTF8.self)
      .split(separator: "\n", omittingEmptySubsequences: false)
    #expect(lines[0] == "old 6")
    #expect(lines[1...3].map(String.init) == request.hashes.map { Base64.encode($0.bytes) })
    #expect(lines[4] == "" && lines[5] == "alder.example" && lines[6] == "8")
    #expect(lines.last == "")
  }

  @Test func requestsRoundTrip() throws {
    let log = try TestLog(300)
    for (old, size) in [(0, 0), (0, 1), (0, 300), (1, 300), (255, 256), (256, 300), (299, 300), (300, 300)] {
      let request = try log.request(from: old, to: size)
      let read = try WitnessRequest(parsing: request.serialized)
      #expect(read == request)
      #expect(read.serialized == request.serialized)
    }
  }

  /// The example of the specification, with its signatures.
  @Test func theExampleIsRead() throws {
    let text = """
      old 20852014
      PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=
      jrJZDmY8Y7SyJE0MWLpLozkIVMSMZcD5kvuKxPC3swk=
      5+pKlUdi2LeF/BcMHBn+Ku6yhPGNCswZZD1X/6QgPd8=
      /6WVhPs2CwSsb5rYBH5cjHV/wSmA79abXAwhXw3Kj/0=

      example.com/behind-the-sofa
      20852163
      CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

      — example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=
      — example.com/behind-the-sofa opLqBQsREYCgu6xQkYQwJr9fo45a62DN9EdmHXnZdXNqlcVGlCum2Wks+49/V6267UEjw6QUXTS5Rovnzv++qbSzm9Q=

      """
    let request = try WitnessRequest(parsing: Array(text.utf8))
    #expect(request.oldSize == 20_852_014)
    #expect(request.hashes.count == 4)
    #expect(request.checkpoint.checkpoint.origin == "example.com/behind-the-sofa")
    #expect(request.checkpoint.checkpoint.size == 20_852_163)
    #expect(request.checkpoint.note.signatures.count == 2)
    #expect(request.serialized == Array(text.utf8))
  }

  @Test func malformedRequestsAreRefused() throws {
    let hash = Base64.encode([UInt8](repeating: 7, count: 32))
    let checkpoint = String(decoding: try TestLog(3).checkpoint().serialized, as: UTF8.self)
    let table: [(String, WitnessMessageError)] = [
      ("", .request(.oldSize)), ("old 1", .request(.oldSize)), ("old\n\n\(checkpoint)", .request(.oldSize)),
      ("Old 1\n\n\(checkpoint)", .request(.oldSize)), ("old 01\n\n\(checkpoint)", .request(.oldSize)),
      ("old -1\n\n\(checkpoint)", .request(.oldSize)), ("old +1\n\n\(checkpoint)", .request(.oldSize)),
      ("old 1 \n\n\(checkpoint)", .request(.oldSize)), ("old 1\r\n\n\(checkpoint)", .request(.oldSize)),
      ("old 18446744073709551616\n\n\(checkpoint)", .request(.oldSize)),
      ("old \(String(repeating: "1", count: 100))\n\n\(checkpoint)", .request(.oldSize)),
      ("old 1\n", .request(.unterminated)), ("old 1\n\(hash)\n", .request(.unterminated)),
      ("old 1\n\(hash)", .request(.hashLine)), ("old 1\n\(hash)=\n\n\(checkpoint)", .request(.hashLine)),
      ("old 1\n\(hash.dropLast(4))\n\n\(checkpoint)", .request(.hashLine)),
      ("old 1\n \n\(checkpoint)", .request(.hashLine)),
      ("old 1\n\(String(repeating: "\(hash)\n", count: 64))\n\(checkpoint)", .request(.tooManyHashes)),
      ("old 1\n\n", .checkpoint(.malformedNote(.signatureLine))),
      ("old 1\n\n\(checkpoint)x", .checkpoint(.malformedNote(.signatureLine))),
      ("old 1\n\nalder.example\n3\nAAAA\n\n— a AAAAAAA=\n", .checkpoint(.malformedCheckpoint(.root))),
    ]
    for (text, error) in table {
      #expect(throws: error, "\(text.prefix(60))") { try WitnessRequest(parsing: Array(text.utf8)) }
    }
    #expect(throws: WitnessMessageError.request(.tooLong)) {
      try WitnessRequest(parsing: [UInt8](repeating: 0x41, count: WitnessRequest.maximumBytes + 1))
    }
    let many = [TreeHash](repeating: TreeHash(hashing: [1]), count: 64)
    #expect(throws: WitnessMessageError.request(.tooManyHashes)) {
      try WitnessRequest(oldSize: 1, hashes: many, checkpoint: TestLog(3).checkpoint())
    }
  }
}

@Suite struct WitnessResponseTests {
  private let line = "— w.example \(Base64.encode([UInt8](repeating: 9, count: 76)))\n"

  private func answer(_ status: Int, _ type: String?, _ body: String) throws -> WitnessResponse {
    try WitnessResponse(status: status, contentType: type, body: Array(body.utf8))
  }

  @Test func answersRoundTrip() throws {
    guard case .cosigned(let signatures) = try answer(200, nil, line + line) else {
      Issue.record("no signatures")
      return
    }
    #expect(signatures.count == 2)
    let responses: [WitnessResponse] =
      [.cosigned(signatures), .conflict(size: 0), .conflict(size: .max)]
      + WitnessRefusal.allCases.map { .refused($0) }
    for response in responses {
      let read = try WitnessResponse(
        status: response.status, contentType: response.contentType, body: response.body)
      #expect(read == response)
    }
    #expect(WitnessResponse.conflict(size: 12).body == Array("12\n".utf8))
    #expect(WitnessResponse.conflict(size: 12).contentType == "text/x.tlog.size")
    #expect(WitnessResponse.cosigned(signatures).body == Array((line + line).utf8))
  }

  @Test func malformedAnswersAreRefused() {
    let size = WitnessResponse.sizeContentType
    let table: [(Int, String?, String, WitnessMessageError)] = [
      (200, nil, "", .answer(.noSignature)), (200, nil, "\n", .answer(.signatureLine)),
      (200, nil, String(line.dropLast()), .answer(.signatureLine)),
      (200, nil, line + "\n", .answer(.signatureLine)), (200, nil, "w.example AAAA\n", .answer(.signatureLine)),
      (200, nil, String(repeating: line, count: 65), .answer(.tooManySignatures)),
      (200, nil, String(repeating: "x", count: WitnessResponse.maximumBytes + 1), .answer(.tooLong)),
      (409, nil, "5\n", .answer(.contentType)), (409, "text/plain", "5\n", .answer(.contentType)),
      (409, "\(size); charset=utf-8", "5\n", .answer(.contentType)), (409, size, "", .answer(.size)),
      (409, size, "5", .answer(.size)), (409, size, "05\n", .answer(.size)), (409, size, "5\n\n", .answer(.size)),
      (409, size, "-5\n", .answer(.size)), (409, size, "18446744073709551616\n", .answer(.size)),
      (204, nil, "", .unexpectedStatus(204)), (301, nil, "", .unexpectedStatus(301)),
      (500, nil, "", .unexpectedStatus(500)),
    ]
    for (status, type, body, error) in table {
      #expect(throws: error, "\(status) \(body.prefix(20))") { try answer(status, type, body) }
    }
  }
}
