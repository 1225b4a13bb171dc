//! The little DER that Envoy's crypto wants: public keys as SubjectPublicKeyInfo, ECDSA signatures as a pair of integers.

fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    match content.len() {
        short @ 0..0x80 => out.push(u8::try_from(short).unwrap_or(0)),
        long => {
            let bytes: Vec<u8> = long.to_be_bytes().into_iter().skip_while(|b| *b == 0).collect();
            out.push(0x80 | u8::try_from(bytes.len()).unwrap_or(0));
            out.extend_from_slice(&bytes);
        }
    }
    out.extend_from_slice(content);
    out
}

/// An unsigned big-endian number.
fn integer(bytes: &[u8]) -> Vec<u8> {
    let significant: Vec<u8> = bytes.iter().copied().skip_while(|b| *b == 0).collect();
    let mut content = Vec::with_capacity(significant.len().saturating_add(1));
    if significant.first().is_none_or(|first| first & 0x80 != 0) {
        content.push(0);
    }
    content.extend_from_slice(&significant);
    element(0x02, &content)
}

fn bit_string(content: &[u8]) -> Vec<u8> {
    let mut bits = vec![0];
    bits.extend_from_slice(content);
    element(0x03, &bits)
}

/// An RSA public key.
pub(super) fn rsa(n: &[u8], e: &[u8]) -> Vec<u8> {
    const ALGORITHM: &[u8] = &[0x30, 13, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1, 5, 0];
    let key = element(0x30, &[integer(n), integer(e)].concat());
    element(0x30, &[ALGORITHM, &bit_string(&key)].concat())
}

/// A P-256 public key.
pub(super) fn p256(x: &[u8], y: &[u8]) -> Vec<u8> {
    const ALGORITHM: &[u8] =
        &[0x30, 19, 6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];
    element(0x30, &[ALGORITHM, &bit_string(&[&[4], x, y].concat())].concat())
}

/// An ECDSA signature of 64 bytes `r || s`; `None` for any other length.
pub(super) fn ecdsa(signature: &[u8]) -> Option<Vec<u8>> {
    let (r, s) = signature.split_at_checked(32)?;
    (s.len() == 32).then(|| element(0x30, &[integer(r), integer(s)].concat()))
}
