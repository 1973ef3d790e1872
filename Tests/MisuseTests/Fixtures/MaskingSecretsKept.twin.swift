import Cryptography
import SecureAggregation

/// What is shown to be sealed does not outlive the showing.
func kept(_ secrets: borrowing MaskingSecrets) -> Int {
  secrets.encoded().count
}

func later(_ secrets: borrowing MaskingSecrets) -> () -> Int {
  let count = secrets.encoded().count
  return { count }
}
