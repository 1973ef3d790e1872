import Cryptography
import SecureAggregation

/// What is shown to be sealed does not outlive the showing.
// expected-error@+1 {{'secrets' is borrowed and cannot be consumed}}
func kept(_ secrets: borrowing MaskingSecrets) -> Int {
  // expected-note@+1 {{consumed here}}
  let copy = secrets
  return copy.encoded().count
}

// expected-error@+1 {{'secrets' cannot be captured by an escaping closure since it is a borrowed parameter}}
func later(_ secrets: borrowing MaskingSecrets) -> () -> Int {
  // expected-note@+1 {{closure capturing 'secrets' here}}
  return { secrets.encoded().count }
}
