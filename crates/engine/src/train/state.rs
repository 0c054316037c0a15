//! A run's resumable state: a magic line, the number of updates done, and the trained numbers with
//! their optimiser state. Rows and learning rates follow from the number of updates.
//!
//! A state is as large as three models, so it is written and read piece by piece.

use std::io::{ErrorKind, Read, Result as IoResult, Write};

use super::trainer::Trainer;
use crate::error::{Error, Result};
use crate::kernel::Buffer;

const MAGIC: &[u8; 16] = b"owlet training 1";
/// Numbers turned into bytes, or back, at once.
// 64 KiB. Measured (LOG 2026-11-22, `examples/owl.toml` whole): states kept in one piece each, by
// way of three copies in memory, were 44 % of all cycles; the size of a piece was not varied.
const PIECE: usize = 1 << 14;

impl Trainer {
    /// Bytes that [`Trainer::write_state`] writes.
    pub fn state_size(&self) -> usize {
        let numbers = self.network.trained().data.len() + self.first.len() + self.second.len();
        MAGIC.len() + 8 + 3 * 8 + 4 * numbers
    }

    /// Writes everything needed to go on later, bit for bit.
    pub fn write_state(&self, out: &mut dyn Write) -> IoResult<()> {
        out.write_all(MAGIC)?;
        out.write_all(&(self.done as u64).to_le_bytes())?;
        let mut bytes = vec![0; 4 * PIECE];
        for buffer in [&self.network.trained().data, &self.first, &self.second] {
            out.write_all(&(buffer.len() as u64).to_le_bytes())?;
            for numbers in buffer.chunks(PIECE) {
                let bytes = &mut bytes[..4 * numbers.len()];
                for (four, x) in bytes.as_chunks_mut().0.iter_mut().zip(numbers) {
                    *four = x.to_le_bytes();
                }
                out.write_all(bytes)?;
            }
        }
        Ok(())
    }

    /// Goes on from what [`Trainer::write_state`] of a run with the same model, data and settings
    /// wrote; reads no further than that.
    ///
    /// Fails, changing nothing, if the bytes are not such a state.
    pub fn read_state(&mut self, from: &mut dyn Read) -> Result<()> {
        let wrong = |reason: String| {
            let reason = format!("{reason}; delete it to start this run afresh");
            Error::request("training state", reason)
        };
        let fill = |from: &mut dyn Read, bytes: &mut [u8]| {
            from.read_exact(bytes).map_err(|error| match error.kind() {
                ErrorKind::UnexpectedEof => wrong("is cut short".to_owned()),
                _ => wrong(format!("cannot be read: {error}")),
            })
        };
        let number = |from: &mut dyn Read| -> Result<u64> {
            let mut bytes = [0; 8];
            fill(from, &mut bytes)?;
            Ok(u64::from_le_bytes(bytes))
        };
        let mut magic = [0; MAGIC.len()];
        fill(from, &mut magic)?;
        if magic != *MAGIC {
            return Err(wrong("is of another version".to_owned()));
        }
        let done = number(from)?;
        let mut bytes = vec![0; 4 * PIECE];
        let mut read = |len: usize| -> Result<Buffer> {
            if number(from)? != len as u64 {
                return Err(wrong("belongs to a run of another shape".to_owned()));
            }
            let mut buffer = Buffer::zeros(len);
            for numbers in buffer.chunks_mut(PIECE) {
                let bytes = &mut bytes[..4 * numbers.len()];
                fill(from, bytes)?;
                for (x, &four) in numbers.iter_mut().zip(bytes.as_chunks().0) {
                    *x = f32::from_le_bytes(four);
                }
            }
            Ok(buffer)
        };
        let trained = read(self.network.trained().data.len())?;
        let first = read(self.first.len())?;
        let second = read(self.second.len())?;
        self.network.trained_mut().data = trained;
        self.first = first;
        self.second = second;
        self.done = done as usize;
        Ok(())
    }
}
