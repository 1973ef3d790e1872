import Testing

@testable import Learning

@Suite struct SafetensorsTests {
  private let small = Safetensors(
    tensors: ["b": Tensor([1.0]), "a": Tensor([-2.0, 0.5])], metadata: ["k": "v\n\"", "a": "é"])

  /// What the format's specification makes of these contents, written out.
  private let golden: [UInt8] = {
    let header =
      "{\"__metadata__\":{\"a\":\"é\",\"k\":\"v\\u000a\\\"\"},"
      + "\"a\":{\"data_offsets\":[0,16],\"dtype\":\"F64\",\"shape\":[2]},"
      + "\"b\":{\"data_offsets\":[16,24],\"dtype\":\"F64\",\"shape\":[1]}}"
    var bytes: [UInt8] = [152, 0, 0, 0, 0, 0, 0, 0] + Array(header.utf8)
    bytes += Array(repeating: 0x20, count: 152 + 8 - bytes.count)
    bytes += [0, 0, 0, 0, 0, 0, 0, 0xc0, 0, 0, 0, 0, 0, 0, 0xe0, 0x3f, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f]
    return bytes
  }()

  @Test func goldenBytesBothWays() throws {
    #expect(try small.encoded() == golden)
    #expect(try Safetensors(decoding: golden) == small)
  }

  @Test func everyTruncationAndExtensionIsRefused() {
    for count in 0..<golden.count {
      #expect(throws: LearningError.self) { try Safetensors(decoding: Array(golden[..<count])) }
    }
    #expect(throws: LearningError.artifact(.trailingBytes(1))) { try Safetensors(decoding: golden + [0]) }
  }

  private func file(_ header: String, data: Int) -> [UInt8] {
    let count = header.utf8.count
    return (0..<8).map { UInt8(truncatingIfNeeded: count >> ($0 * 8)) } + Array(header.utf8)
      + Array(repeating: 0, count: data)
  }

  /// A header of two tensors of one value each.
  private static func two(_ first: String, _ firstOffsets: String, _ second: String, _ secondOffsets: String) -> String
  {
    func entry(_ name: String, _ offsets: String) -> String {
      "\"\(name)\":{\"dtype\":\"F64\",\"shape\":[1],\"data_offsets\":\(offsets)}"
    }
    return "{" + entry(first, firstOffsets) + "," + entry(second, secondOffsets) + "}"
  }

  @Test func twoTensorsSideBySideAreFine() throws {
    let header = Self.two("a", "[0,8]", "b", "[8,16]")
    #expect(try Safetensors(decoding: file(header, data: 16)).tensors.count == 2)
  }

  @Test func takesOtherWritersFiles() throws {
    let header = """
      { "y" : {"dtype":"F64","shape":[1,2],"data_offsets":[8,24]}, "x":{"dtype":"F64","shape":[],\
      "data_offsets":[0,8]},"empty":{"dtype":"F64","shape":[0],"data_offsets":[24,24]} }
      """
    let read = try Safetensors(decoding: file(header, data: 24))
    #expect(read.tensors["y"]?.shape == [1, 2] && read.tensors["x"]?.values == [0])
    #expect(read.tensors["empty"]?.values.isEmpty == true && read.metadata.isEmpty)
    let escaped = try Safetensors(decoding: file(#"{"__metadata__":{"\u00e9\ud83d\ude00\/":"\t"}}"#, data: 0))
    #expect(escaped.metadata == ["é😀/": "\t"])
    #expect(try Safetensors(decoding: file("{}", data: 0)).tensors.isEmpty)
  }

  @Test(arguments: [
    (#""#, 0), ("[]", 0), (" {}", 0), ("{", 0), ("{}x", 0), ("{},", 0), ("{}\u{0}", 0), ("{\"a\"}", 0),
    ("{\"a\":1}", 8),
    (#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#, 8),
    (#"{"a":{"dtype":"F64","shape":[2],"data_offsets":[0,8]}}"#, 8),
    (#"{"a":{"dtype":"F64","shape":[1],"data_offsets":[8,16]}}"#, 16),
    (#"{"a":{"dtype":"F64","shape":[1],"data_offsets":[8,0]}}"#, 8),
    (#"{"a":{"dtype":"F64","shape":[1],"data_offsets":[0,8]}}"#, 7),
    (#"{"a":{"dtype":"F64","shape":[1],"data_offsets":[0,8]}}"#, 9),
    (#"{"a":{"dtype":"F64","shape":[1],"data_offsets":[0,8,9]}}"#, 8),
    (#"{"a":{"dtype":"F64","shape":[1],"data_offsets":[0]}}"#, 8),
    (#"{"a":{"dtype":"F64","shape":[-1],"data_offsets":[0,8]}}"#, 8),
    (#"{"a":{"dtype":"F64","shape":[1.0],"data_offsets":[0,8]}}"#, 8),
    (#"{"a":{"dtype":"F64","shape":[1e0],"data_offsets":[0,8]}}"#, 8),
    (#"{"a":{"dtype":"F64","shape":[01],"data_offsets":[0,8]}}"#, 8),
    (#"{"a":{"dtype":"F64","shape":[1],"data_offsets":[0,99999999999999999999]}}"#, 8),
    (#"{"a":{"dtype":"F64","shape":[999999999999,999999999999],"data_offsets":[0,8]}}"#, 8),
    (#"{"a":{"dtype":"F64","shape":[1,1,1,1,1,1,1,1,1],"data_offsets":[0,8]}}"#, 8),
    (#"{"a":{"dtype":"F64","shape":[1],"data_offsets":[0,8],"x":1}}"#, 8),
    (#"{"a":{"dtype":"F64","dtype":"F64","shape":[1],"data_offsets":[0,8]}}"#, 8),
    (#"{"a":{"dtype":"F64","shape":[1]}}"#, 8),
    (two("a", "[0,8]", "a", "[8,16]"), 16), (two("a", "[0,8]", "b", "[0,8]"), 8),
    (two("a", "[0,8]", "b", "[16,24]"), 24),
    (two("a", "[0,16]", "b", "[8,16]"), 16),
    (#"{"__metadata__":{"a":1}}"#, 0), (#"{"__metadata__":{"a":"1","a":"2"}}"#, 0),
    (#"{"__metadata__":{"a":{"b":"c"}}}"#, 0), (#"{"__metadata__":{},"__metadata__":{}}"#, 0),
    (#"{"__metadata__":{"a":"\x"}}"#, 0), (#"{"__metadata__":{"a":"\ud83d"}}"#, 0),
    (#"{"__metadata__":{"a":"\ude00\ud83d"}}"#, 0), (#"{"__metadata__":{"a":"\u12g4"}}"#, 0),
    ("{\"__metadata__\":{\"a\":\"\n\"}}", 0), (#"{"__metadata__":{"a":"b"#, 0), (#"{"__metadata__":{"a":"b",}}"#, 0),
    (String(repeating: "[", count: 10_000), 0), ("{\"a\":" + String(repeating: "[", count: 10_000), 0),
  ])
  func hostileHeadersAreRefused(header: String, data: Int) {
    #expect(throws: LearningError.self) { try Safetensors(decoding: file(header, data: data)) }
  }

  @Test func headersAreBounded() {
    for length: UInt64 in [0, 1, 1 << 20 + 1, .max, 1 << 63] {
      let bytes = (0..<8).map { UInt8(truncatingIfNeeded: length >> UInt64($0 * 8)) } + Array("{}".utf8)
      #expect(throws: LearningError.artifact(.headerLength(length))) { try Safetensors(decoding: bytes) }
    }
    let large = Safetensors(tensors: [:], metadata: ["a": String(repeating: "x", count: 1 << 20)])
    #expect(throws: LearningError.self) { try large.encoded() }
    #expect(throws: LearningError.self) {
      try Safetensors(decoding: [8, 0, 0, 0, 0, 0, 0, 0] + Array("{\"".utf8) + [0xff, 0xfe] + Array("\":1}".utf8))
    }
  }
}

@Suite struct ModelArtifactTests {
  private func artifact(
    metadata: [String: String] = ["statistics": "{}"], clip: Double? = nil
  ) throws -> ModelArtifact {
    try ModelArtifact(
      model: LogisticRegressionModel(featureNames: ["a", "b\"é"], parameters: [0.25, -3, 1.5]),
      preprocessing: FittedPreprocessing(
        Preprocessing(names: ["signedLog1p", "standardize"]),
        standardization: Standardization(means: [1, 2], standardDeviations: [0.5, 4])),
      classWeights: ClassWeights(negative: 0.55, positive: 5.5), label: "fraud", positive: "1", run: "run-1",
      context: "00ff", round: 3, clip: clip, metadata: metadata)
  }

  @Test func roundTripIsExactAndDeterministic() throws {
    let artifact = try artifact()
    let bytes = try artifact.encoded()
    #expect(try ModelArtifact(decoding: bytes) == artifact)
    #expect(try ModelArtifact(decoding: bytes).encoded() == bytes)
    let container = try Safetensors(decoding: bytes)
    #expect(container.tensors["classWeights"]?.values == [0.55, 5.5])
    #expect(container.tensors["intercept"]?.values == [1.5])
    #expect(container.metadata["schema"] == "bauta/model/1" && container.metadata["round"] == "3")
    #expect(container.metadata["features"] == #"["a","b\"é"]"#)
  }

  @Test func aClipIsWrittenWhereThereIsOne() throws {
    for clip in [0.1 + 0.2, 0x1p-40, 0x1p40] {
      let artifact = try artifact(clip: clip)
      let bytes = try artifact.encoded()
      #expect(try ModelArtifact(decoding: bytes) == artifact)
      #expect(try Safetensors(decoding: bytes).tensors["clip"] == Tensor([clip]))
    }
    let without = try artifact()
    #expect(without.clip == nil && without.preprocessing.bound == nil)
    #expect(try Safetensors(decoding: without.encoded()).tensors["clip"] == nil)
    for clip in [0, -1, 0x1p-41, 0x1p41, .nan, .infinity] {
      #expect(throws: LearningError.self) { try artifact(clip: clip) }
    }
  }

  /// Beside everything else that a file may have.
  @Test func aClipStandsBesideBoundAndOptimizer() throws {
    let state = try FedSGD.State(parameters: [1, 2, 3], velocity: [4, 5, 6], iterateSum: [7, 8, 9], round: 3)
    let artifact = try ModelArtifact(
      model: LogisticRegressionModel(featureNames: ["a", "b"], parameters: [0.25, -3, 1.5]),
      preprocessing: FittedPreprocessing(
        Preprocessing(names: ["publicScale"]), scaling: PublicScaling(centres: [1, 2], scales: [3, 4], bound: 5)),
      classWeights: ClassWeights(negative: 1, positive: 2), label: "y", positive: "1", run: "r", context: "c", round: 3,
      optimizer: state, clip: 0.75)
    let decoded = try ModelArtifact(decoding: artifact.encoded())
    #expect(decoded == artifact)
    #expect(decoded.clip == 0.75 && decoded.optimizer == state && decoded.preprocessing.bound == 5)
  }

  @Test func hostileClipsAreRefused() throws {
    let container = try Safetensors(decoding: artifact(clip: 2).encoded())
    let tensors = [
      Tensor([0]), Tensor([-2]), Tensor([.nan]), Tensor([.infinity]), Tensor([0x1p41]),
      Tensor([.leastNonzeroMagnitude]), Tensor([]),
      Tensor([2, 2]), Tensor(shape: [], values: [2]), Tensor(shape: [1, 1], values: [2]),
    ]
    for tensor in tensors {
      var changed = container
      changed.tensors["clip"] = tensor
      let bytes = try changed.encoded()
      #expect(throws: LearningError.self) { try ModelArtifact(decoding: bytes) }
    }
  }

  @Test func predictsFromRawRows() throws {
    let table = try FeatureTable(featureNames: ["a", "b\"é"], values: [1.718281828459045, 0], labels: [1])
    // (log1p 1.718… − 1) / 0.5 = 0; (0 − 2) / 4 = −0.5.
    #expect(try abs(artifact().logits(table)[0] - 3.0) < 1e-14)
    let other = try FeatureTable(featureNames: ["b\"é", "a"], values: [1, 0], labels: [1])
    #expect(throws: LearningError.self) { try artifact().logits(other) }
  }

  @Test func everyTruncationIsRefused() throws {
    let bytes = try artifact().encoded()
    for count in 0..<bytes.count {
      #expect(throws: LearningError.self) { try ModelArtifact(decoding: Array(bytes[..<count])) }
    }
  }

  @Test(arguments: [
    ("schema", "bauta/model/2"), ("kind", "forest"), ("features", "a"), ("features", "[\"a\"]"),
    ("features", "[\"a\",\"a\"]"), ("features", "[\"a\",\"b\"]x"),
    ("preprocessing", "[\"standardize\",\"signedLog1p\"]"),
    ("preprocessing", "[\"log\"]"), ("round", "-1"), ("round", "3.0"), ("round", "03"), ("round", "+3"),
    ("label", nil), ("positive", nil), ("run", nil), ("context", nil), ("round", nil), ("schema", nil),
  ])
  func metadataIsChecked(key: String, value: String?) throws {
    var container = try Safetensors(decoding: artifact().encoded())
    container.metadata[key] = value
    let bytes = try container.encoded()
    #expect(throws: LearningError.self) { try ModelArtifact(decoding: bytes) }
  }

  @Test func tensorsAreChecked() throws {
    let container = try Safetensors(decoding: artifact().encoded())
    let changes: [(String, Tensor?)] = [
      ("weights", nil), ("extra", Tensor([1])), ("weights", Tensor([1])), ("intercept", Tensor([.nan])),
      ("standardDeviation", Tensor([1, 0])), ("mean", Tensor([1, .infinity])), ("classWeights", Tensor([0, 1])),
      ("weights", Tensor(shape: [2, 1], values: [1, 2])),
    ]
    for (name, tensor) in changes {
      var changed = container
      changed.tensors[name] = tensor
      let bytes = try changed.encoded()
      #expect(throws: LearningError.self) { try ModelArtifact(decoding: bytes) }
    }
  }

  @Test func keysOfTheSchemaAreReserved() {
    #expect(throws: LearningError.artifact(.reservedKey("run"))) { try artifact(metadata: ["run": "other"]) }
  }
}
