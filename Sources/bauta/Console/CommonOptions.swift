import ArgumentParser

/// `--directory`: the organisation's or server's directory that a command works in.
struct DirectoryOption: ParsableArguments {
  @Option(
    name: .long,
    help: ArgumentHelp("Directory of the organisation or server.", valueName: "dir"), completion: .directory)
  var directory = "."
}

/// `--json`: for scripts.
struct JSONOption: ParsableArguments {
  @Flag(name: .long, help: "Print JSON: one object, or one a line for lists.")
  var json = false
}
