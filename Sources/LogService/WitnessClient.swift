public import AuditLog
public import Cryptography
import Foundation
import NIOCore
import NIOHTTP1
import NIOPosix
public import TransparencyLog

extension WitnessURL {
  /// - Throws: `malformedURL` also for HTTPS.
  public init(_ text: String) throws(WitnessClientError) {
    guard let url = WitnessURL(parsing: text) else { throw .malformedURL }
    self = url
  }
}

/// Submits checkpoints of our own log to one witness, and believes no answer without the witness's key.
///
/// It sends nothing but the bodies that an `EgressRecorded` proves to be on the record. Around each goes the head of an HTTP
/// request, which follows from ``url`` and the body's length.
public struct WitnessClient: Sendable {
  public let url: WitnessURL
  public let key: NoteVerifierKey<WitnessKeyRole>
  /// For one request and its answer.
  public let timeout: Duration

  public init(url: WitnessURL, key: NoteVerifierKey<WitnessKeyRole>, timeout: Duration = .seconds(10)) {
    self.url = url
    self.key = key
    self.timeout = timeout
  }

  /// Asks for a cosignature over a checkpoint.
  ///
  /// Where the witness says that it cosigned another size last, it is asked once more, from there. One process at a time
  /// should submit the checkpoints of a log.
  ///
  /// - Parameters:
  ///   - knownSize: what this witness cosigned last, as far as is known; 0 costs one more request at most.
  ///   - recording: puts the body of a request on the record, once for each that is sent.
  ///   - answered: told what became of each.
  ///   - proof: the consistency proof from a size to the checkpoint's, from our log. Called on the caller's task.
  /// - Returns: a cosignature of ``key``, verified. Its time is the witness's word.
  /// - Throws: `rolledBack`, `otherHistory` and `notConsistent` say that our log is not what it was, or that the witness
  ///   is not honest; the others that there is no cosignature this time.
  public func submit(
    _ checkpoint: SignedCheckpoint, knownSize: UInt64 = 0,
    recording: (_ body: [UInt8]) throws(AuditLogError) -> EgressRecorded,
    answered: (_ message: MessageIdentifier, _ error: WitnessClientError?) throws(AuditLogError) -> Void = { _, _ in },
    proof: (_ from: UInt64) throws(TransparencyLogError) -> ConsistencyProof?
  ) async throws(WitnessClientError) -> Cosignature {
    let size = checkpoint.checkpoint.size
    var old = min(knownSize, size)
    for attempt in 1...2 {
      switch try await ask(checkpoint, from: old, recording, answered, proof) {
      case .cosigned(let signatures): return try cosignature(in: signatures, over: checkpoint)
      case .refused(.notConsistent): throw .notConsistent(witness: name, size: old)
      case .refused(let refusal): throw .refused(witness: name, refusal)
      case .conflict(let held):
        guard held <= size else { throw .rolledBack(witness: name, size: held) }
        if held == old, held == size { throw .otherHistory(witness: name, size: held) }
        guard held != old, attempt == 1 else { throw .conflict(witness: name, size: held) }
        old = held
      }
    }
    throw .conflict(witness: name, size: old)
  }

  private var name: String { key.name.value }

  private func ask(
    _ checkpoint: SignedCheckpoint, from old: UInt64,
    _ recording: ([UInt8]) throws(AuditLogError) -> EgressRecorded,
    _ answered: (MessageIdentifier, WitnessClientError?) throws(AuditLogError) -> Void,
    _ proof: (UInt64) throws(TransparencyLogError) -> ConsistencyProof?
  ) async throws(WitnessClientError) -> WitnessResponse {
    let size = checkpoint.checkpoint.size
    let made: ConsistencyProof?
    do { made = try proof(old) } catch { throw .log(error) }
    guard let made, made.from == old, made.to == size else { throw .log(.outOfRange(requested: old, size: size)) }
    let request: WitnessRequest
    do throws(WitnessMessageError) {
      request = try WitnessRequest(oldSize: old, hashes: made.hashes, checkpoint: checkpoint)
    } catch { throw .malformedMessage(witness: name, error) }
    let recorded: EgressRecorded
    do throws(AuditLogError) { recorded = try recording(request.serialized) } catch { throw .notRecorded(error) }
    let message = recorded.message
    let result: Result<WitnessResponse, WitnessClientError>
    do throws(WitnessClientError) {
      result = .success(try response(try await exchange(recorded)))
    } catch { result = .failure(error) }
    let failure: WitnessClientError? = if case .failure(let error) = result { error } else { nil }
    do throws(AuditLogError) { try answered(message, failure) } catch { throw .notRecorded(error) }
    return try result.get()
  }

  private func cosignature(
    in signatures: [NoteSignature], over checkpoint: SignedCheckpoint
  ) throws(WitnessClientError) -> Cosignature {
    for line in signatures where line.name == key.name && line.keyID == key.id {
      guard let cosignature = try? Cosignature(line),
        cosignature.verifies(text: checkpoint.note.text, witness: key)
      else { continue }
      return cosignature
    }
    throw .notCosigned(witness: name)
  }

  private func response(_ answer: HTTPAnswer) throws(WitnessClientError) -> WitnessResponse {
    do throws(WitnessMessageError) {
      return try WitnessResponse(status: answer.status, contentType: answer.contentType, body: answer.body)
    } catch { throw .malformedMessage(witness: name, error) }
  }

  /// The one place where anything is sent: what is on the record, and nothing else.
  private func exchange(_ recorded: consuming EgressRecorded) async throws(WitnessClientError) -> HTTPAnswer {
    let body = recorded.bytes
    let (name, url, timeout) = (name, url, TimeAmount(timeout))
    let loop = MultiThreadedEventLoopGroup.singleton.any()
    let answered = loop.makePromise(of: HTTPAnswer.self)
    let bootstrap = ClientBootstrap(group: loop).connectTimeout(timeout).channelInitializer { channel in
      channel.eventLoop.makeCompletedFuture {
        let headLimit = HeadLimit(maximum: HTTPLimits().headBytes)
        let pipeline = channel.pipeline.syncOperations
        try pipeline.addHandler(headLimit)
        try pipeline.addHandler(HTTPRequestEncoder())
        try pipeline.addHandler(ByteToMessageHandler(HTTPResponseDecoder(leftOverBytesStrategy: .dropBytes)))
        try pipeline.addHandler(AnswerHandler(url: url, body: body, headLimit: headLimit, answered: answered))
      }
    }
    let connecting = bootstrap.connect(host: url.host, port: url.port)
    connecting.whenFailure { answered.fail($0) }
    // One deadline for all of it: a witness that sends a byte now and then is as silent as one that sends none.
    let deadline = loop.scheduleTask(in: timeout) { answered.fail(ExchangeTimedOut()) }
    answered.futureResult.whenComplete { _ in
      deadline.cancel()
      connecting.whenSuccess { $0.close(promise: nil) }
    }
    do { return try await answered.futureResult.get() } catch {
      switch error {
      case is ExchangeTimedOut: throw .timedOut(witness: name)
      case ChannelError.connectTimeout: throw .timedOut(witness: name)
      case is InvalidAnswer, is HeadTooLong, is HTTPParserError: throw .invalidAnswer(witness: name)
      case _: throw .unreachable(witness: name, reason: HTTPAddress.reason(error))
      }
    }
  }
}

private struct ExchangeTimedOut: Error {}
private struct InvalidAnswer: Error {}

private struct HTTPAnswer: Sendable {
  let status: Int
  let contentType: String?
  let body: [UInt8]
}

/// Sends one request and takes one answer.
private final class AnswerHandler: ChannelInboundHandler {
  typealias InboundIn = HTTPClientResponsePart
  typealias OutboundOut = HTTPClientRequestPart

  private let url: WitnessURL
  private let requestBody: [UInt8]
  private let headLimit: HeadLimit
  private let answered: EventLoopPromise<HTTPAnswer>
  private var head: HTTPResponseHead?
  private var body: [UInt8] = []

  init(url: WitnessURL, body: [UInt8], headLimit: HeadLimit, answered: EventLoopPromise<HTTPAnswer>) {
    self.url = url
    requestBody = body
    self.headLimit = headLimit
    self.answered = answered
  }

  func channelActive(context: ChannelHandlerContext) {
    let headers: HTTPHeaders = [
      "Host": url.authority, "Content-Type": "text/plain; charset=utf-8",
      "Content-Length": String(requestBody.count), "Connection": "close",
    ]
    let head = HTTPRequestHead(version: .http1_1, method: .POST, uri: "\(url.prefix)/add-checkpoint", headers: headers)
    context.write(wrapOutboundOut(.head(head)), promise: nil)
    let buffer = context.channel.allocator.buffer(bytes: requestBody)
    context.write(wrapOutboundOut(.body(.byteBuffer(buffer))), promise: nil)
    context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    switch unwrapInboundIn(data) {
    case .head(let head):
      headLimit.headReceived()
      self.head = head
    case .body(let part):
      guard body.count + part.readableBytes <= WitnessResponse.maximumBytes else {
        return fail(InvalidAnswer(), context)
      }
      body.append(contentsOf: part.readableBytesView)
    case .end:
      guard let head else { return fail(InvalidAnswer(), context) }
      answered.succeed(
        HTTPAnswer(
          status: Int(head.status.code), contentType: head.headers.first(name: "Content-Type"), body: body))
    }
  }

  func channelInactive(context: ChannelHandlerContext) {
    // Does nothing after an answer.
    answered.fail(ChannelError.eof)
    context.fireChannelInactive()
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) { fail(error, context) }

  private func fail(_ error: any Error, _ context: ChannelHandlerContext) {
    headLimit.discard()
    answered.fail(error)
    context.close(promise: nil)
  }
}
