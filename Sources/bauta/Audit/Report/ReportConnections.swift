import AuditLog

/// Handshakes, refusals, and what went over connections.
struct ReportConnections {
  let figures: LogFigures

  var markup: Markup {
    let handshakes = figures.handshakes
    guard handshakes.established.count > 0 || handshakes.allRefusals > 0 || !figures.connections.isEmpty else {
      return "<h3>Connections</h3>\n<p>No handshake is in these records.</p>\n"
    }
    return "<h3>Connections</h3>\n\(established)\(refusals)\(accounting)"
  }

  private var established: Markup {
    let handshakes = figures.handshakes
    var table = ReportTable(
      "Connections that were made",
      [
        .text("version"), .text("cipher"), .text("key agreement"), .number("handshakes"), .number("first entry"),
      ])
    for (key, tally) in handshakes.parameters.sorted {
      table.append([
        .logged(key.version), .logged(key.cipher), .logged(key.group), .number(tally.count), Self.entry(tally),
      ])
    }
    var peers = ReportTable(
      "With whom", [.text("peer, by its certificate's key"), .number("handshakes"), .text("first"), .text("last")])
    for (name, tally) in handshakes.peers.sorted {
      peers.append([.logged(name), .number(tally.count), .time(tally.first?.time), .time(tally.last?.time)])
    }
    if let others = handshakes.peers.others { peers.append(["others", .number(others.count), "", ""]) }
    return table.markup + peers.markup
  }

  private var refusals: Markup {
    let handshakes = figures.handshakes
    guard handshakes.allRefusals > 0 else { return .paragraph("No connection was refused.") }
    var codes = ReportTable(
      "Connections that were refused, by reason",
      [.text("reason"), .text("at fault"), .number("refusals"), .text("first"), .text("last"), .number("first entry")])
    for (key, tally) in handshakes.refusalCodes.sorted {
      codes.append([
        .logged(key.code), .logged(key.blame), .number(tally.count), .time(tally.first?.time), .time(tally.last?.time),
        Self.entry(tally),
      ])
    }
    if let others = handshakes.refusalCodes.others {
      codes.append(["other reasons", "", .number(others.count), "", "", ""])
    }
    var peers = ReportTable(
      "Who was refused: names are claims, nothing vouches for them",
      [.text("claimed name or address"), .number("refusals")])
    for (name, tally) in handshakes.refusedPeers.sorted { peers.append([.logged(name), .number(tally.count)]) }
    if let others = handshakes.refusedPeers.others { peers.append(["others", .number(others.count)]) }
    let summed = handshakes.summedUp
    let note: Markup =
      summed.records.count == 0
      ? ""
      : .paragraph(
        """
        \(.number(summed.refusals)) more came too fast to be recorded one by one: \
        \(Figures.counted(summed.records.count, "record")) \(summed.records.count == 1 ? "sums" : "sum") them up, the \
        widest from \(Figures.counted(summed.mostAddresses, "address", "addresses")).
        """)
    return codes.markup + note + peers.markup
  }

  // MARK: - Bytes

  private var accounting: Markup {
    let connections = figures.connections
    guard !connections.isEmpty else {
      return .paragraph("What HTTP/2 added to the messages, connection by connection, is not in these records.")
    }
    let unclosed = connections.unclosed
    var table = ReportTable(
      "Bytes by connection, before encryption",
      [
        .number("last entry"), .text("peer"), .text("connection"), .text("state"), .number("bytes"), .number("in DATA"),
        .number("messages"), .number("in messages"),
      ])
    for connection in connections.closed.elements + unclosed.suffix(100) { table.append(row(connection)) }
    var text: Markup = """
      \(Figures.counted(connections.closedWithTraffic, "connection")) ended with a count, together \
      \(.number(connections.closedPlaintextBytes)) bytes.
      """
    if !unclosed.isEmpty {
      text =
        text
        + " <b class=\"caution\">\(Figures.counted(unclosed.count, "connection")) did not end on the record</b>: what went over them after the last count is not accounted for."
    }
    if connections.closedWithoutTraffic > 0 {
      text = text + " \(Figures.counted(connections.closedWithoutTraffic, "connection")) ended without a count."
    }
    if connections.unfollowed > 0 {
      text = text + " \(Figures.counted(connections.unfollowed, "record")) of more connections than could be followed."
    }
    text =
      text + " In DATA, each message has 5 bytes more. Whether all of them are messages on record is checked below."
    return table.markup + .paragraph(text)
  }

  private func row(_ connection: ConnectionFigures.Connection) -> [Markup] {
    [
      connection.last.map { .number($0.entry) } ?? "–", .logged(connection.peer, limit: 60),
      .hash(connection.exporter?.hexadecimal), connection.isClosed ? "ended" : "<span class=\"caution\">open</span>",
      .number(connection.traffic?.plaintextBytes ?? 0), .number(connection.traffic?.frames[.data]?.bytes ?? 0),
      .number(connection.sent.count), .number(connection.sent.bytes),
    ]
  }

  static func entry(_ tally: Tally) -> Markup { tally.first.map { .number($0.entry) } ?? "–" }
}
