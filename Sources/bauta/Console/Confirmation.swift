import Foundation

/// Asks a person, and nobody else.
enum Confirmation {
  /// Returns if the answer is yes.
  ///
  /// - Parameter given: the command line said yes already.
  /// - Throws: `CommandError.confirmationNeeded` without a terminal, `.notConfirmed` for any other answer.
  static func require(_ question: String, what: String, given: Bool) throws(CommandError) {
    if given { return }
    guard isatty(STDIN_FILENO) == 1, Output.error.isTerminal else { throw .confirmationNeeded(what: what) }
    Output.standard.flush()
    Output.error.write(Array("\(StyledText.printable(question)) [yes/no] ".utf8))
    guard readLine(strippingNewline: true)?.lowercased() == "yes" else { throw .notConfirmed }
  }
}
