enum PrivacyLossGrid {
  static let maximumCells = 1 << 22
}
