import Cryptography
import TransparencyLog

/// Failures of one check: the first few in full, the others as a number.
struct FailureList {
  /// Rows of one kind beyond this many are summed up in one.
  static let maximum = 20

  private(set) var kept: [VerificationFailure] = []
  private(set) var count = 0

  mutating func append(_ failure: VerificationFailure) {
    if kept.count < Self.maximum { kept.append(failure) }
    count += 1
  }

  mutating func append(_ failures: FailureList) {
    for failure in failures.kept { append(failure) }
    count += failures.count - failures.kept.count
  }

  /// Counts failures that are not listed.
  mutating func skip(_ number: UInt64) { count += Int(clamping: number) }
}

/// One run of files: the tiles of a level, or the bundles.
enum TileSeries: Hashable, Comparable {
  case hashes(level: Int)
  case entries

  init(_ kind: TileAddress.Kind) {
    switch kind {
    case .hashes(let level): self = .hashes(level: level)
    case .entries: self = .entries
    }
  }

  var kind: TileAddress.Kind {
    switch self {
    case .hashes(let level): .hashes(level: level)
    case .entries: .entries
    }
  }

  /// How many hashes or entries the files of the series hold in all, in a log of `size` entries.
  func count(size: UInt64) -> UInt64 {
    switch self {
    case .hashes(let level): size >> UInt64(8 * level)
    case .entries: size
    }
  }
}

/// Which files are under `tile/`, in memory that does not grow with the log: full tiles are kept as runs.
struct TileInventory {
  private var full: [TileSeries: [Range<UInt64>]] = [:]
  private var partial: [TileSeries: [UInt64: [Int]]] = [:]
  private(set) var tiles = 0
  private(set) var bundles = 0
  /// Names that no writer of ours makes.
  private(set) var strange = FailureList()

  init(directory: String) {
    let tiles = "\(directory)/\(LogLayout.tiles)"
    if DurableFile.isRealDirectory(tiles) || !DurableFile.exists(tiles) {
      collect(LogLayout.tiles, in: directory, depth: 0)
    } else {
      // A link could lead to another log's tiles today and to this one's when somebody looks.
      strange.append(.init(LogLayout.tiles, "not a directory"))
    }
    for (series, runs) in full { full[series] = Self.merged(runs) }
  }

  func hasFull(_ series: TileSeries, _ index: UInt64) -> Bool {
    guard let runs = full[series] else { return false }
    // The runs are in order and apart: by halves, as a directory of every other tile has as many runs as tiles.
    var (low, high) = (0, runs.count)
    while low < high {
      let middle = (low + high) / 2
      if runs[middle].upperBound <= index { low = middle + 1 } else { high = middle }
    }
    return low < runs.count && runs[low].contains(index)
  }

  /// The widths of the partial versions of a tile.
  func partialWidths(_ series: TileSeries, _ index: UInt64) -> [Int] { partial[series]?[index] ?? [] }

  /// Walks the files under `folder`. An unfinished temporary file is what a crash leaves, is not served, and is overwritten
  /// by the next publication.
  private mutating func collect(_ folder: String, in directory: String, depth: Int) {
    let names: [String]
    do {
      guard let listed = try DurableFile.names(in: "\(directory)/\(folder)") else { return }
      names = listed
    } catch {
      strange.append(.init(folder, error.message))
      return
    }
    for name in names {
      let path = "\(folder)/\(name)"
      // Most names are those of full tiles: digits only. Anything else may be a folder.
      if let address = try? TileAddress(path: path), !DurableFile.isRealDirectory("\(directory)/\(path)") {
        insert(address)
      } else if DurableFile.isRealDirectory("\(directory)/\(path)") {
        // tile/LEVEL, seven groups of an index, and the folder of partial tiles.
        if depth < 10 {
          collect(path, in: directory, depth: depth + 1)
        } else {
          strange.append(.init(path, "not a folder of a tiled log"))
        }
      } else if !Self.isUnfinished(path) {
        strange.append(.init(path, "not a file of a tiled log"))
      }
    }
  }

  private static func isUnfinished(_ path: String) -> Bool {
    guard path.hasSuffix(DurableFile.temporarySuffix) else { return false }
    return (try? TileAddress(path: String(path.dropLast(DurableFile.temporarySuffix.count)))) != nil
  }

  private mutating func insert(_ address: TileAddress) {
    let series = TileSeries(address.kind)
    if series == .entries { bundles += 1 } else { tiles += 1 }
    guard address.isFull else {
      partial[series, default: [:]][address.index, default: []].append(address.width)
      return
    }
    // Folders are walked in the order of their names, so that most tiles lengthen the last run.
    Self.add(address.index, to: &full[series, default: []])
  }

  private static func add(_ index: UInt64, to runs: inout [Range<UInt64>]) {
    if let last = runs.last, last.upperBound == index {
      runs[runs.count - 1] = last.lowerBound..<index + 1
    } else {
      runs.append(index..<index + 1)
    }
  }

  private static func merged(_ runs: [Range<UInt64>]) -> [Range<UInt64>] {
    var merged: [Range<UInt64>] = []
    for run in runs.sorted(by: { $0.lowerBound < $1.lowerBound }) {
      if let last = merged.last, last.upperBound == run.lowerBound {
        merged[merged.count - 1] = last.lowerBound..<run.upperBound
      } else {
        merged.append(run)
      }
    }
    return merged
  }
}

extension TileInventory {
  /// Files that a log of `size` entries cannot have yet.
  func beyond(size: UInt64, tiles: inout FailureList, bundles: inout FailureList) {
    for series in Set(full.keys).union(partial.keys).sorted() {
      var failures = FailureList()
      let available = series.count(size: size)
      let width = UInt64(TileAddress.fullWidth)
      for run in full[series] ?? [] {
        let first = max(run.lowerBound, available / width)
        guard first < run.upperBound else { continue }
        let listed = min(run.upperBound, first + UInt64(FailureList.maximum))
        for index in first..<listed { failures.append(Self.beyond(TileAddress(kind: series.kind, index: index))) }
        failures.skip(run.upperBound - listed)
      }
      for (index, widths) in (partial[series] ?? [:]).sorted(by: { $0.key < $1.key }) {
        let (first, overflow) = index.multipliedReportingOverflow(by: width)
        for width in widths.sorted() where overflow || first >= available || available - first < UInt64(width) {
          failures.append(Self.beyond(TileAddress(kind: series.kind, index: index, width: width)))
        }
      }
      if series == .entries { bundles.append(failures) } else { tiles.append(failures) }
    }
  }

  private static func beyond(_ address: TileAddress) -> VerificationFailure {
    .init(address.path, "covers entries that the log does not have")
  }

  /// Files that a log of `size` entries has and that are not there. A partial tile may have become full since.
  ///
  /// - Parameter kept: entries below it are rightly no longer there; their hashes are.
  func missing(size: UInt64, kept: UInt64) -> FailureList {
    var failures = FailureList()
    let width = UInt64(TileAddress.fullWidth)
    let levels = (0...TileAddress.maximumLevel).map { TileSeries.hashes(level: $0) }
    for series in levels + [.entries] {
      let count = series.count(size: size)
      var next = series == .entries ? kept / width : 0
      for run in (full[series] ?? []) + [(count / width)..<(count / width)] {
        let end = min(run.lowerBound, count / width)
        if next < end {
          let listed = min(end, next + UInt64(FailureList.maximum))
          for index in next..<listed {
            failures.append(.init(TileAddress(kind: series.kind, index: index).path, "missing"))
          }
          failures.skip(end - listed)
        }
        next = max(next, run.upperBound)
      }
      let rest = Int(count % width)
      let index = count / width
      if rest > 0, !hasFull(series, index), !partialWidths(series, index).contains(rest) {
        failures.append(.init(TileAddress(kind: series.kind, index: index, width: rest).path, "missing"))
      }
    }
    return failures
  }
}
