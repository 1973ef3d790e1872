/// A number and what it counts: 1 entry, 2 entries.
///
/// - Parameter plural: if it is more than an s.
func counted(_ count: some BinaryInteger, _ singular: String, _ plural: String? = nil) -> String {
  "\(count) \(count == 1 ? singular : plural ?? "\(singular)s")"
}
