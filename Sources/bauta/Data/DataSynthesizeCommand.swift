import ArgumentParser
import Learning
import Training

struct DataSynthesizeCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "synthesize", abstract: "Make synthetic data: nobody's, but skewed and imbalanced like real ones.",
    discussion: """
      49 columns as in aggregates of public Medicare files, one row a provider, label \
      \(ProviderSchema.label). Each organisation gets another mix. The same arguments give the same bytes.

        bauta data synthesize --rows 1000 --organizations 5 --output data
        bauta data synthesize --rows 1000 --organizations 5 --organization 2 \\
          --output birch.csv
      """)

  @Option(help: ArgumentHelp("Rows of each organisation, 20 to 1,000,000.", valueName: "n"))
  var rows = 1000

  @Option(help: ArgumentHelp("Number of organisations, 1 to 1000.", valueName: "n"))
  var organizations = 5

  @Option(help: ArgumentHelp("Make the file of this one only, from 1.", valueName: "n"))
  var organization: Int?

  @Option(help: ArgumentHelp("Another seed gives other rows of the same kind.", valueName: "n"))
  var seed: UInt64 = 1

  @Option(
    help: ArgumentHelp("A new directory, or with --organization a new file.", valueName: "path"), completion: .file())
  var output: String

  @OptionGroup var format: JSONOption

  func validate() throws {
    if let organization, !(1...max(1, organizations)).contains(organization) {
      throw ValidationError("--organization must be from 1 to \(organizations).")
    }
  }

  func run() async throws {
    var files: [String] = []
    if let organization {
      try LocalFile.create(output, contents(of: organization))
      files = [output]
    } else {
      files = try StagedDirectory.create(output) { directory in
        try (1...max(1, organizations)).map { number in
          let name = "organization-\(number).csv"
          try LocalFile.create("\(directory)/\(name)", contents(of: number))
          return "\(output)/\(name)"
        }
      }
    }
    if format.json {
      Output.standard.json(
        .object([
          "schema": .string("bauta/data-synthesize/1"), "rows": .count(rows), "label": .string(ProviderSchema.label),
          "files": .strings(files),
        ]))
      return
    }
    for file in files { Output.standard.line("\(file): \(Figures.counted(rows, "row"))") }
    Output.standard.line("Next: bauta data check \(files.first ?? output) --label \(ProviderSchema.label)")
  }

  private func contents(of number: Int) throws -> [UInt8] {
    let table = try SyntheticProviders.generate(
      rows: rows, organization: number - 1, organizations: organizations, seed: seed)
    return CSVTable.encode(table, label: ProviderSchema.label)
  }
}
