import Cryptography

// expected-error@+1 {{'secret' is borrowed and cannot be consumed}}
func copied(_ secret: borrowing SecretBytes) -> Int {
  // expected-note@+1 {{consumed here}}
  let copy = secret
  return copy.count
}

// expected-error@+1 {{'secret' consumed more than once}}
func copiedTwice(_ secret: consuming SecretBytes) -> Int {
  // expected-note@+1 {{consumed here}}
  let one = secret
  // expected-note@+1 {{consumed again here}}
  let other = secret
  return one.count + other.count
}

// expected-error@+1 {{'secret' cannot be captured by an escaping closure since it is a borrowed parameter}}
func captured(_ secret: borrowing SecretBytes) -> () -> Int {
  // expected-note@+1 {{closure capturing 'secret' here}}
  return { secret.count }
}

func takenByAClosure(_ keep: (@escaping () -> SecretBytes) -> Void) {
  let secret = SecretBytes(count: 32)
  // expected-error@+1 {{noncopyable 'secret' cannot be consumed when captured by an escaping closure}}
  keep { secret }
}

// expected-error@+1 {{'seed' consumed more than once}}
func oneSeedForTwoKeys(_ seed: consuming SecretBytes) throws {
  // expected-note@+1 {{consumed here}}
  _ = try IdentitySigningKey(seed: seed)
  // expected-note@+1 {{consumed again here}}
  _ = try LogSigningKey(seed: seed)
}

// expected-error@+1 {{'scalar' is borrowed and cannot be consumed}}
func copiedScalar(_ scalar: borrowing Scalar) -> Scalar {
  // expected-note@+1 {{consumed here}}
  return scalar
}
