import AuditLog

/// What witnesses confirmed, where histories do not fit, and what was opened for an auditor.
struct ReportWitnesses {
  let figures: LogFigures

  var markup: Markup { "<h3>Witnesses and openings</h3>\n\(conflicts)\(cosigned)\(witnessed)\(openings)" }

  private var conflicts: Markup {
    let conflicts = figures.witnesses.conflicts
    guard conflicts.total > 0 else { return .paragraph("No conflict between histories is in these records.") }
    return """
      <div class="verdict bad"><p><b class="bad">CONFLICT.</b> \(Figures.counted(conflicts.total, "record")): a \
      checkpoint, or a witness's word, does not follow from what was seen before.</p></div>
      \(ReportDecisions.list("Conflicts between histories", conflicts))
      """
  }

  private var cosigned: Markup {
    guard figures.witnesses.cosignatures.count > 0 else {
      return .paragraph(
        """
        No witness's cosignature of this log is on its record. Without witnesses a keeper could show different histories to \
        different readers.
        """)
    }
    return table("Cosignatures of witnesses on this log", figures.witnesses.cosigned)
  }

  private var witnessed: Markup {
    table("Checkpoints of others that this keeper cosigned", figures.witnesses.witnessed)
  }

  private func table(
    _ caption: String, _ checkpoints: Grouped<WitnessFigures.Pair, WitnessFigures.Checkpoints>
  ) -> Markup {
    var table = ReportTable(
      caption,
      [
        .text("log of"), .text("witness"), .number("checkpoints"), .number("largest size"), .text("its root"),
        .text("last"),
      ])
    let sorted = checkpoints.groups.sorted {
      ($0.key.origin, $0.key.witness ?? "") < ($1.key.origin, $1.key.witness ?? "")
    }
    for (key, value) in sorted {
      table.append([
        .logged(key.origin), key.witness.map { .logged($0) } ?? "this keeper", .number(value.tally.count),
        .number(value.largestSize), .hash(value.root), .time(value.tally.last?.time),
      ])
    }
    if let others = checkpoints.others { table.append(["others", "", .number(others.tally.count), "", "", ""]) }
    return table.markup
  }

  private var openings: Markup {
    figures.openings.total > 0
      ? ReportDecisions.list("Openings of masked inputs", figures.openings)
      : .paragraph("No masked input was opened for an auditor, and none was asked for.")
  }
}
