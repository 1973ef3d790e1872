public import Cryptography

/// What an organisation allows: its own `policy.yaml`, which nothing the server sends overrides.
public struct Policy: Sendable, Equatable {
  public static let schema = "bauta/policy/1"

  public let allow: Allowed
  public let cohort: CohortRules
  public let bounds: Bounds
  /// The unit that noise is to hide; a run has exactly this one.
  public let privacy: PrivacyUnit
  /// The most that sums with noise may cost; nil where the unit is none.
  public let ceiling: PrivacyCeiling?
  public let hours: AllowedHours
  /// Whether the secrets of masked inputs are kept, sealed, for an opening by an auditor; nil keeps nothing.
  public let audit: AuditRules?

  /// What becomes of the organisation's own log.
  public let log: LogRules

  /// The policy as written.
  public let text: String
  /// SHA-256 of the UTF-8 bytes of ``text``.
  public let hash: SHA256Digest

  public struct Allowed: Sendable, Equatable {
    public let programs: [RunPlan.TrainerProgram]
    public let models: [RunPlan.ModelKind]
    public let statistics: [StatisticKind]
  }

  public struct CohortRules: Sendable, Equatable {
    /// Fewest organisations whose terms may be summed.
    public let minimum: Int
    /// Fewest among them that are honest if all assumed corrupt ones take part.
    public let minimumHonest: Int
    /// Openings of sums over nearly the same organisations.
    public let nearOpenings: NearOpenings
    /// A column with fewer non-zero rows of the organisation's own contributes nothing.
    public let minimumRows: Int
  }

  public struct NearOpenings: Sendable, Equatable {
    public let count: Int
    public let days: Int
  }

  public struct Bounds: Sendable, Equatable {
    /// Most tensor coordinates.
    public let dimension: Int
    public let bits: ClosedRange<Int>
    public let clip: Double
    public let rounds: Int
  }

  /// Secrets of masked inputs kept for an opening.
  public struct AuditRules: Sendable, Equatable {
    /// From the making of a masked input to the erasure of what opens it.
    public let keepSecretsFor: Duration
    /// To whose key they are sealed: nobody else can open them, this organisation included.
    public let auditor: AuditorPublicKey
  }
}
