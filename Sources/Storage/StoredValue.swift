import Foundation
import GRDB

/// A value of a column.
public enum StoredValue: Sendable, Hashable {
  case null
  case integer(Int64)
  case real(Double)
  case text(String)
  case blob([UInt8])

  var database: DatabaseValue {
    switch self {
    case .null: .null
    case .integer(let value): value.databaseValue
    case .real(let value): value.databaseValue
    case .text(let value): value.databaseValue
    case .blob(let value): Data(value).databaseValue
    }
  }

  init(_ value: DatabaseValue) {
    switch value.storage {
    case .null: self = .null
    case .int64(let value): self = .integer(value)
    case .double(let value): self = .real(value)
    case .string(let value): self = .text(value)
    case .blob(let value): self = .blob([UInt8](value))
    }
  }
}

extension StoredValue: ExpressibleByIntegerLiteral, ExpressibleByStringLiteral, ExpressibleByNilLiteral {
  public init(integerLiteral value: Int64) { self = .integer(value) }
  public init(stringLiteral value: String) { self = .text(value) }
  public init(nilLiteral: ()) { self = .null }
}

/// One row of a result. Columns are read by name and by the type that the schema gives them.
public struct StoredRow: Sendable, Equatable {
  private let values: [String: StoredValue]

  init(_ row: Row) {
    // Where two columns have one name, the first counts, as in SQL.
    values = Dictionary(row.map { ($0.0, StoredValue($0.1)) }, uniquingKeysWith: { first, _ in first })
  }

  /// - Throws: ``StorageError/statement(reason:)`` if there is no such column.
  public func value(_ column: String) throws(StorageError) -> StoredValue {
    guard let value = values[column] else { throw .statement(reason: "there is no column \(column)") }
    return value
  }

  /// - Throws: ``StorageError/statement(reason:)`` if there is no such column, or it holds another type or null.
  public func integer(_ column: String) throws(StorageError) -> Int64 {
    guard case .integer(let value) = try value(column) else { throw Self.wrongType(column, "an integer") }
    return value
  }

  public func real(_ column: String) throws(StorageError) -> Double {
    guard case .real(let value) = try value(column) else { throw Self.wrongType(column, "a real number") }
    return value
  }

  public func text(_ column: String) throws(StorageError) -> String {
    guard case .text(let value) = try value(column) else { throw Self.wrongType(column, "text") }
    return value
  }

  public func blob(_ column: String) throws(StorageError) -> [UInt8] {
    guard case .blob(let value) = try value(column) else { throw Self.wrongType(column, "bytes") }
    return value
  }

  public func isNull(_ column: String) throws(StorageError) -> Bool { try value(column) == .null }

  private static func wrongType(_ column: String, _ expected: String) -> StorageError {
    .statement(reason: "column \(column) does not hold \(expected)")
  }
}
