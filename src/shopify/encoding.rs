//! What a body went through on its way: gzip that nobody asked for, a byte order mark. Proxies add both.

use std::io::Read;

use flate2::read::MultiGzDecoder;
use http::{HeaderMap, header};

/// UTF-8's, which JSON must not begin with, and readers may pass over (RFC 8259, section 8.1).
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The body as it was before that.
///
/// # Errors
/// What is the matter with it: it has more than `largest` bytes, or an encoding that can't be undone.
pub(super) fn plain(headers: &HeaderMap, body: Vec<u8>, largest: usize) -> Result<Vec<u8>, &'static str> {
    let encoding = headers.get(header::CONTENT_ENCODING).map(|value| value.as_bytes().to_ascii_lowercase());
    let mut body = match encoding.as_deref() {
        _ if body.is_empty() => body,
        None | Some(b"" | b"identity") => body,
        Some(b"gzip" | b"x-gzip") => gunzip(&body, largest)?,
        Some(_) => return Err("has an encoding that nobody asked for"),
    };
    if body.starts_with(BYTE_ORDER_MARK) {
        body.drain(..BYTE_ORDER_MARK.len());
    }
    Ok(body)
}

/// Never makes more than `largest` bytes and one.
fn gunzip(body: &[u8], largest: usize) -> Result<Vec<u8>, &'static str> {
    let mut plain = Vec::new();
    let bound = u64::try_from(largest).map_or(u64::MAX, |largest| largest.saturating_add(1));
    let read = MultiGzDecoder::new(body).take(bound).read_to_end(&mut plain);
    match read.map_err(|_| "says that it is gzip, and can't be read as that")? {
        n if n > largest => Err("is too large when unpacked"),
        _ => Ok(plain),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::{Compression, write::GzEncoder};
    use http::HeaderValue;

    use super::*;

    fn headers(encoding: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(header::CONTENT_ENCODING, HeaderValue::from_static(encoding))])
    }

    fn gzip(body: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(body).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn what_was_added_is_taken_off() {
        let packed = gzip(b"{}");
        for (encoding, body, expected) in [
            ("", b"{}".to_vec(), &b"{}"[..]),
            ("identity", b"{}".to_vec(), b"{}"),
            ("gzip", packed.clone(), b"{}"),
            ("GZIP", packed.clone(), b"{}"),
            ("x-gzip", packed.clone(), b"{}"),
            ("gzip", [packed.clone(), packed.clone()].concat(), b"{}{}"),
            ("gzip", gzip(b"\xef\xbb\xbf{}"), b"{}"),
            ("gzip", Vec::new(), b""),
            ("br", Vec::new(), b""),
            ("", b"\xef\xbb\xbf{}".to_vec(), b"{}"),
            ("", b"\xef\xbb".to_vec(), b"\xef\xbb"),
            ("", b"\xef\xbb\xbf\xef\xbb\xbf".to_vec(), b"\xef\xbb\xbf"),
        ] {
            assert_eq!(plain(&headers(encoding), body, 100).as_deref(), Ok(expected), "{encoding}");
        }
        assert_eq!(plain(&HeaderMap::new(), b"{}".to_vec(), 100).as_deref(), Ok(&b"{}"[..]));
    }

    #[test]
    fn what_cannot_be_taken_off_is_said_without_the_body() {
        let packed = gzip(b"{}");
        let half = packed[..packed.len() / 2].to_vec();
        for (encoding, body) in
            [("gzip", b"canary".to_vec()), ("gzip", half), ("br", b"canary".to_vec()), ("gzip, gzip", packed)]
        {
            let what = plain(&headers(encoding), body, 100).unwrap_err();
            assert!(!what.contains("canary"), "{what}");
        }
    }

    #[test]
    fn a_bomb_is_unpacked_to_the_bound_and_no_further() {
        let bomb = gzip(&vec![b' '; 8 * 1024 * 1024]);
        assert!(bomb.len() < 10_000, "{} bytes", bomb.len());
        let measured = allocation_counter::measure(|| {
            let outcome = plain(&headers("gzip"), bomb.clone(), 1024 * 1024);
            assert_eq!(outcome, Err("is too large when unpacked"));
        });
        // A vector that grows has up to twice the bytes it holds, and the ones it leaves.
        assert!(measured.bytes_max < 4 * 1024 * 1024, "{} bytes", measured.bytes_max);
        assert!(plain(&headers("gzip"), gzip(&[b' '; 100]), 100).is_ok());
    }
}
