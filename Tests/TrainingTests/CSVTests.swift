import Foundation
import Learning
import Testing

@testable import Training

@Suite struct CSVTests {
  private func load(
    _ text: String, label: String = "y", features: FeatureSelection = .all, limits: CSVLimits = CSVLimits()
  ) throws -> FeatureTable {
    let file = try TemporaryFile(text)
    return try CSVTable.load(path: file.path, label: label, positive: "1", features: features, limits: limits)
  }

  @Test func readsWhatTheGrammarAllows() throws {
    let expected = try FeatureTable(featureNames: ["a", "b"], values: [1, -2.5, 300, 0.25], labels: [0, 1])
    #expect(try load("y,a,b\n0,1,-2.5\n1,3e2,.25\n") == expected)
    #expect(try load("y,a,b\n0,1,-2.5\n1,3e2,.25") == expected)
    #expect(try load("\u{feff}y,a,b\r\n0,1,-2.5\r\n1,+3E+2,25e-2\r\n") == expected)
    #expect(try load("a,y,b\n1,0,-2.5\n300,1,0.25\n") == expected)
    #expect(try load("\"y\",\"a\",b\n\"0\",\"1\",\"-2.5\"\n1,300,\"0.25\"") == expected)
    #expect(try load("y,z,b,a\n0,text,-2.5,1\n1,,0.25,300\n", features: .list(["a", "b"])) == expected)
  }

  @Test func quotedNamesKeepTheirText() throws {
    let table = try load("y,\"a,\"\"b\"\"\nc\"\n0,1\n1,2\n")
    #expect(table.featureNames == ["a,\"b\"\nc"])
    let file = try TemporaryFile(CSVTable.encode(table, label: "y"))
    #expect(try CSVTable.load(path: file.path, label: "y", positive: "1") == table)
  }

  @Test func anyTwoLabelTextsDo() throws {
    let file = try TemporaryFile("x,class\n1,bad\n2,good\n3,bad\n")
    #expect(try CSVTable.load(path: file.path, label: "class", positive: "bad").labels == [1, 0, 1])
  }

  /// Adding or removing any one row of a file that can be read gives a file that can be read.
  @Test(arguments: ["1,5\n", "0,6\n", "none,7\n"])
  func noRowDecidesOfTheOthersUnderOneAgainstRest(row: String) throws {
    for others in ["", "1,1\n", "0,1\n", "1,1\n1,2\n", "0,1\nnone,2\n", "1,1\n0,2\n"] {
      let tables = try [others, others + row].map { rows in
        let file = try TemporaryFile("y,a\n" + rows)
        return try CSVTable.load(path: file.path, label: "y", positive: "1", labels: .oneAgainstRest)
      }
      #expect(tables[1].values == tables[0].values + [try #require(Double(row.suffix(2).prefix(1)))])
      #expect(tables[1].labels == tables[0].labels + [row.hasPrefix("1") ? 1 : 0])
    }
    // What is no row of numbers stays an error.
    let file = try TemporaryFile("y,a\n1,1\n0,x\n")
    #expect(throws: TrainingError.self) {
      try CSVTable.load(path: file.path, label: "y", positive: "1", labels: .oneAgainstRest)
    }
  }

  @Test func predictionNeedsNoLabel() throws {
    let file = try TemporaryFile("b,a,extra\n1,2,x\n3,4,y\n")
    let table = try CSVTable.loadUnlabelled(path: file.path, features: .list(["a", "b"]))
    #expect(table.values == [2, 1, 4, 3])
    #expect(throws: TrainingError.csv(path: file.path, .missingFeatures(["c"]))) {
      try CSVTable.loadUnlabelled(path: file.path, features: .list(["a", "c"]))
    }
  }

  /// Each bad input, the fault's code, and what the message must say of the place.
  @Test(arguments: [
    ("", "csv-empty", "data.csv: the file is empty"),
    ("y,a\n", "csv-no-rows", "no row of data"),
    ("y,a", "csv-no-rows", "no row of data"),
    ("z,a\n1,2\n", "csv-missing-label", "no label column \"y\""),
    ("y,a,a\n", "csv-duplicate-header", "row 1, column 3: the name \"a\" is already that of column 2"),
    ("y,,a\n", "csv-empty-header", "row 1, column 2: the column has no name"),
    ("y,a\n0,1\n1\n", "csv-short-row", "row 3: 1 field where the header has 2"),
    ("y,a,b\n0,1,2\n1,5", "csv-short-row", "row 3: 2 fields where the header has 3"),
    ("y,a\n0,1\n1,2,3\n", "csv-long-row", "row 3: more fields than the 2"),
    ("y,a\n0,1,\n", "csv-long-row", "row 2"),
    ("y,a\n0,1\n\n1,2\n", "csv-blank-row", "row 3: the row is blank"),
    ("y,a\r\n0,1\r\n\r\n", "csv-blank-row", "row 3: the row is blank"),
    ("\ny,a\n", "csv-blank-row", "row 1"),
    ("y,a\n0,\"1\n1,2\n", "csv-unclosed-quote", "row 2, column 2 (a): the quote that opens here is never closed"),
    ("y,a\n0,1\"\n", "csv-stray-quote", "row 2, column 2 (a): a quote inside"),
    ("y,a\n0,\"1\"2\n", "csv-text-after-quote", "row 2, column 2 (a): text after"),
    ("y,a\n0,1\r1,2\n", "csv-bare-carriage-return", "row 2"),
    ("y,a\n0,1\r", "csv-bare-carriage-return", "row 2"),
    ("y,a,b\n0,1,2\n1,,2\n", "csv-empty-field", "row 3, column 2 (a): the field is empty"),
    ("y,a\n0,1\n,2\n", "csv-empty-field", "row 3, column 1 (y): the field is empty"),
    ("y,a\n0,1\n1,twelve\n", "csv-not-a-number", "row 3, column 2 (a): \"twelve\" is not a number"),
    ("y,a\n0, 1\n", "csv-not-a-number", "row 2, column 2 (a): \" 1\" is not a number"),
    ("y,a\n0,0x10\n", "csv-not-a-number", "row 2, column 2 (a)"),
    ("y,a\n0,1e\n", "csv-not-a-number", "row 2, column 2 (a)"),
    ("y,a\n0,1_000\n", "csv-not-a-number", "row 2, column 2 (a)"),
    ("y,a\n0,\"1,5\"\n", "csv-not-a-number", "row 2, column 2 (a): \"1,5\""),
    ("y,a\n0,-\n", "csv-not-a-number", "row 2, column 2 (a)"),
    ("y,a\n0,.\n", "csv-not-a-number", "row 2, column 2 (a)"),
    ("y,a\n0,1.2.3\n", "csv-not-a-number", "row 2, column 2 (a)"),
    ("y,a\n0,1\u{0}\n", "csv-not-a-number", "row 2, column 2 (a)"),
    ("y,a\n0,1\u{1b}[31m\n", "csv-not-a-number", "row 2, column 2 (a)"),
    ("y,a\n0,NaN\n", "csv-not-finite", "row 2, column 2 (a): \"NaN\" is not a finite number"),
    ("y,a\n0,-inf\n", "csv-not-finite", "row 2, column 2 (a)"),
    ("y,a\n0,+Infinity\n", "csv-not-finite", "row 2, column 2 (a)"),
    ("y,a\n0,1e999\n", "csv-not-finite", "row 2, column 2 (a)"),
    ("y,a\n0,1\n1,2\n2,3\n", "csv-third-label", "row 4, column 1 (y): the label \"2\" is neither \"1\" nor \"0\""),
    ("y,a\n0,1\n0,2\n", "one-class-only", "none of the 2 rows has \"1\" in the label column \"y\""),
    ("y,a\n1,1\n1,2\n", "one-class-only", "all 2 rows have \"1\""),
    ("y\n1\n0\n", "table-without-features", "no feature columns"),
  ])
  func badInputNamesItsPlace(text: String, code: String, place: String) throws {
    do {
      _ = try load(text)
      Issue.record("accepted: \(text)")
    } catch let error as TrainingError {
      #expect(error.code == code)
      #expect(error.message.contains(place), "\(error.message)")
      #expect(!error.message.contains("\n") && !error.message.contains("\u{1b}"))
      #expect(error.blame == "caller" && !error.remedy.isEmpty)
    }
  }

  @Test func badBytesAreRefused() throws {
    let file = try TemporaryFile([0x79, 0x2c, 0xff, 0x0a])
    #expect(throws: TrainingError.csv(path: file.path, .notUTF8(CSVPosition(row: 1, column: 2)))) {
      try CSVTable.load(path: file.path, label: "y", positive: "1")
    }
  }

  @Test func missingColumnsAreNamed() throws {
    let file = try TemporaryFile("y,a\n0,1\n1,2\n")
    #expect(throws: TrainingError.csv(path: file.path, .missingFeatures(["b", "c"]))) {
      try CSVTable.load(path: file.path, label: "y", positive: "1", features: .list(["a", "b", "c"]))
    }
    #expect(throws: TrainingError.csv(path: file.path, .labelIsFeature(name: "y"))) {
      try CSVTable.load(path: file.path, label: "y", positive: "1", features: .list(["a", "y"]))
    }
  }

  @Test func boundsHold() throws {
    let text = "y,a\n0,1\n1,2\n0,333333\n"
    for (limits, code) in [
      (CSVLimits(bytes: 10), "csv-too-large"), (CSVLimits(fieldBytes: 5), "csv-field-too-long"),
      (CSVLimits(columns: 1), "csv-too-many-columns"), (CSVLimits(values: 2), "csv-too-many-rows"),
    ] {
      do {
        _ = try load(text, limits: limits)
        Issue.record("accepted beyond \(limits)")
      } catch let error as TrainingError {
        #expect(error.code == code)
      }
    }
    _ = try load(text, limits: CSVLimits(bytes: text.utf8.count, fieldBytes: 6, columns: 2, values: 3))
  }

  @Test func unreadableFilesSayWhy() {
    for (path, reason) in [("/nonexistent/x.csv", "No such file"), ("/", "directory")] {
      do {
        _ = try CSVTable.load(path: path, label: "y", positive: "1")
        Issue.record("read \(path)")
      } catch {
        #expect(error.code == "file-not-readable" && error.message.contains(reason), "\(error.message)")
      }
    }
  }

  @Test func chunksOfAnySizeGiveTheSame() throws {
    let text = Array("y,\"a\"\"b\",c\r\n0,\"1\",2.5\r\n1,-3,\"4e1\"\r\n1,77,8".utf8)
    var tables: [FeatureTable] = []
    for size in 1...text.count {
      var sink = CSVTableSink(label: ("y", "1"), features: .all, limits: CSVLimits())
      var scanner = CSVScanner(limits: CSVLimits())
      for start in stride(from: 0, to: text.count, by: size) {
        let chunk = Array(text[start..<min(start + size, text.count)])
        try chunk.withUnsafeBufferPointer { try scanner.consume($0, &sink) }
      }
      try scanner.finish(&sink)
      tables.append(try sink.table(path: "memory"))
    }
    #expect(tables.allSatisfy { $0 == tables[0] })
    #expect(tables[0].featureNames == ["a\"b", "c"] && tables[0].values == [1, 2.5, -3, 40, 77, 8])
  }

  @Test func writtenNumbersReadBackTheSame() throws {
    var source = Congruential(state: 8)
    var values: [Double] = [
      0, -0.0, 1, -1, 0.1, 1e-300, .leastNonzeroMagnitude, .greatestFiniteMagnitude, 0x1p53, 1e22, 123456.789,
    ]
    for _ in 0..<989 { values.append((source.next() - 0.5) * 1e6 * source.next()) }
    let table = try FeatureTable(featureNames: ["x"], values: values, labels: values.indices.map { UInt8($0 % 2) })
    let file = try TemporaryFile("")
    try CSVTable.write(table, label: "y", path: file.path)
    let read = try CSVTable.load(path: file.path, label: "y", positive: "1")
    #expect(read.values.map(\.bitPattern) == table.values.map(\.bitPattern))
    #expect(read.labels == table.labels)
    #expect(throws: TrainingError.self) {
      try CSVTable.write(table, label: "y", path: "/nonexistent/directory/x.csv")
    }
  }

  @Test func numbersAreRoundedCorrectly() throws {
    for text in [
      "0.1", "123456789012345678", "9007199254740993", "1e23", "4.35", "0.000001", "1e-22", "1.15e-10", "2.5e-324",
      "179769313486231570000", "0.30000000000000004", "00012.50", "1e22", "8.41e21",
    ] {
      let outcome = Array(text.utf8).withUnsafeBufferPointer(DecimalNumber.parse)
      #expect(outcome == .value(try #require(Double(text))), "\(text)")
    }
  }
}
