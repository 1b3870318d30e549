//! Bodies of batches, compressed.

use std::io::{Read as _, Write as _};

use flate2::{Compression, read::GzDecoder, write::GzEncoder};

/// Bytes of a request at most, when it is decompressed.
pub const MAX_REQUEST: u64 = 64 * 1024 * 1024;
/// Of gzip: a third less time than 6, which is usual, and a tenth more bytes.
const LEVEL: Compression = Compression::new(3);

/// An encoded request as gzip (RFC 1952), which OTLP takes as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Body {
    pub bytes: Vec<u8>,
}

impl Body {
    pub(super) fn compress(request: &[u8]) -> Self {
        let mut gzip = GzEncoder::new(Vec::with_capacity(request.len() / 8), LEVEL);
        // Into memory: it cannot fail.
        let _ = gzip.write_all(request);
        Self {
            bytes: gzip.finish().unwrap_or_default(),
        }
    }

    /// The encoded request. `None`: this is damaged.
    pub fn request(&self) -> Option<Vec<u8>> {
        self.request_within(MAX_REQUEST)
    }

    /// The same, of so many bytes at most.
    pub(super) fn request_within(&self, most: u64) -> Option<Vec<u8>> {
        let mut request = Vec::new();
        let mut gzip = GzDecoder::new(&*self.bytes).take(most + 1);
        let len = gzip.read_to_end(&mut request).ok()?;
        (len as u64 <= most).then_some(request)
    }

    pub(super) fn checksum(&self) -> u32 {
        crc32fast::hash(&self.bytes)
    }
}
