public import DifferentialPrivacy

/// What a plan promises about records or organisations, and what it spends for it.
public enum PrivacyModel: Sendable, Hashable {
  /// The secure sum alone: terms are hidden, the sum is not noised.
  case none
  case differential(PrivacySettings)

  /// Nil without differential privacy.
  public var settings: PrivacySettings? {
    switch self {
    case .none: nil
    case .differential(let settings): settings
    }
  }

  /// Whether what two sums over nearly the same organisations tell when subtracted has been charged, so that no rule about
  /// such sums is needed.
  ///
  /// Where every term has noise of its organisation in it, so has each sum, of its own, and each is paid for. A server that
  /// adds the noise sees sums without any: of those the same is asked as without differential privacy.
  public var coversDifferences: Bool {
    switch settings?.placement {
    case .distributed, .local: true
    case .central, nil: false
    }
  }

  /// The unit as plans and policies name it, `none` included.
  public var unit: PrivacyUnit { settings?.unit ?? .none }
}

extension RunPlan {
  /// Whether terms are values that `secureSum.clip` bounds, each by itself: not where they become integers of a bounded norm,
  /// as noise of shares and of a server asks for.
  public var clipsValues: Bool { privacy.settings.map { $0.placement == .local } ?? true }
}

/// Whose presence noise hides.
public enum PrivacyUnit: String, Sendable, Hashable, CaseIterable {
  case none
  /// One row of one organisation, added or removed.
  case record
  /// Everything of one organisation; that it takes part is public.
  case organization
}

/// Who adds the noise of a run, and so whom its guarantee rests on.
public enum NoisePlacement: String, Sendable, Hashable, CaseIterable {
  /// Every organisation a share, to its own term: only the sum carries all of it, and honest others are counted on.
  case distributed
  /// Every organisation all of it, inside its own training: what leaves is private by itself, and nobody is counted on.
  case local
  /// The server, to the sum that it sees without noise: everybody trusts it. See `CentralGaussian.trust`.
  case central
}

/// Differential privacy of a run: mechanism and amount, as the plan's `privacy` has them.
///
/// How much noise that is follows from it together with cohort and columns: see ``NoiseAgreement``.
public struct PrivacySettings: Sendable, Hashable {
  public static let epsilons = 0x1p-10...64.0
  public static let deltas = 1e-18...0.01
  public static let multipliers = 0x1p-10...0x1p19
  public static let clips = 0x1p-40...0x1p40

  /// How the noise is chosen.
  public enum Amount: Sendable, Hashable {
    /// The least noise with which the whole run costs at most this ε.
    case target(epsilon: Double)
    /// Standard deviation of the noise of one fit over what one unit may change.
    case noiseMultiplier(Double)
  }

  public let unit: PrivacyUnit
  public let placement: NoisePlacement
  public let mechanism: NoiseMechanism
  /// Of the server's noise: correlated over the rounds, with every row in one round of a pass. Nil where the noise of every
  /// round is independent, and every row is in all.
  public let tree: TreeSettings?
  /// Largest L2 norm of what one unit contributes to a fit: a row's gradient, an organisation's update.
  public let clip: Double
  public internal(set) var amount: Amount
  /// At which the ε of the run is stated. What an organisation has spent is stated at its own policy's δ.
  public let delta: Double
  /// The part of the budget (of zCDP's ρ) that the evaluation spends, in (0, 1); 0 without evaluation.
  public let evaluationShare: Double
  /// How the clip follows the norms of the updates; nil where it stays.
  public let adaptiveClipping: ClippingSettings?
}
