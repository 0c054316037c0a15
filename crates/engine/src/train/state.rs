//! A run's resumable state as bytes: a magic line, the number of updates done, and the trained
//! numbers with their optimiser state. Rows and learning rates follow from the number of updates.

use super::Method;
use super::trainer::Trainer;
use crate::error::{Error, Result};
use crate::kernel::Buffer;

const MAGIC: &[u8; 16] = b"owlet training 1";

impl Trainer {
    /// Everything needed to go on later, bit for bit.
    pub fn state(&self) -> Vec<u8> {
        let weights = match self.settings.method {
            Method::Full { .. } => &self.network.decoder.parameters.data,
            Method::LowRank(_) => {
                &self
                    .network
                    .adapter
                    .as_ref()
                    .expect("a low-rank run has an adapter")
                    .parameters
                    .data
            }
        };
        let buffers = [weights, &self.first, &self.second];
        let mut bytes = MAGIC.to_vec();
        bytes.extend((self.done as u64).to_le_bytes());
        for buffer in buffers {
            bytes.extend((buffer.len() as u64).to_le_bytes());
            bytes.extend(buffer.iter().flat_map(|x| x.to_le_bytes()));
        }
        bytes
    }

    /// Goes on from a [`Trainer::state`] of a run with the same model, data and settings.
    ///
    /// Fails, changing nothing, if the bytes are not such a state.
    pub fn restore(&mut self, state: &[u8]) -> Result<()> {
        let wrong = |reason: &str| Error::Request {
            item: "training state".to_owned(),
            reason: format!("{reason}; delete it to start this run afresh"),
        };
        let rest = state.strip_prefix(MAGIC).ok_or_else(|| wrong("is of another version"))?;
        let number = |bytes: &[u8]| -> Option<(u64, usize)> {
            Some((u64::from_le_bytes(bytes.get(..8)?.try_into().ok()?), 8))
        };
        let (done, mut at) = number(rest).ok_or_else(|| wrong("is cut short"))?;
        let expected = [self.first.len(), self.first.len(), self.second.len()];
        let mut buffers = Vec::new();
        for len in expected {
            let (found, size) = number(&rest[at..]).ok_or_else(|| wrong("is cut short"))?;
            at += size;
            if found != len as u64 {
                return Err(wrong("belongs to a run of another shape"));
            }
            let bytes = rest.get(at..at + 4 * len).ok_or_else(|| wrong("is cut short"))?;
            at += 4 * len;
            let mut buffer = Buffer::zeros(len);
            for (x, b) in buffer.iter_mut().zip(bytes.chunks_exact(4)) {
                *x = f32::from_le_bytes([b[0], b[1], b[2], b[3]]);
            }
            buffers.push(buffer);
        }
        if at != rest.len() {
            return Err(wrong("is longer than it should be"));
        }
        let mut buffers = buffers.into_iter();
        let mut next = || buffers.next().unwrap_or_default();
        let weights = match self.settings.method {
            Method::Full { .. } => self.network.weights_mut(),
            Method::LowRank(_) => {
                self.network.adapter_mut().expect("a low-rank run has an adapter")
            }
        };
        weights.data = next();
        self.first = next();
        self.second = next();
        self.done = done as usize;
        Ok(())
    }
}
