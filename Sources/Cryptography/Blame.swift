/// Who is at fault when something fails.
public enum Blame: String, Sendable {
  /// The code or the person that asked: a wrong argument, file or setting.
  case caller
  /// The other side of a connection or the author of the bytes: malformed, forged or forbidden.
  case peer
  /// Nobody in particular: too few organisations took part.
  case participants
  /// This machine: its memory, disk or libraries.
  case local
}

/// An error that says who is at fault and what to do next.
///
/// Nothing in it is secret: it may be logged and shown.
public protocol BlamedError: Error, Sendable, CustomStringConvertible {
  /// A stable name in kebab case, for scripts and tests.
  var code: String { get }
  var blame: Blame { get }
  /// One sentence: what is wrong, and where.
  var message: String { get }
  /// What to do about it.
  var remedy: String { get }
}

extension BlamedError {
  public var description: String { message }
}
