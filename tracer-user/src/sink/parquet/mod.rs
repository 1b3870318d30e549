//! Apache Parquet, one row a call. What is no call has no row: the header and the
//! summary of the JSON format, losses included, are in the footer, under [`HEADER_KEY`] and [`SUMMARY_KEY`].
//!
//! A Parquet file can be read when its footer is there, and that is written last.

mod columns;

use std::{mem, sync::Arc};

use parquet::{
    basic::Compression,
    data_type::{ByteArrayType, Int64Type},
    errors::Result,
    file::{metadata::KeyValue, properties::WriterProperties, writer::SerializedFileWriter},
};

use super::{Began, ProcessChange, Sink, Summary, json::Json};
use crate::event::call::{CallEvent, TypeNames};
use columns::{COLUMNS, Cells};

/// Rows of a row group, at most: they are held in memory until it is written.
const MAX_ROWS: usize = 64 * 1024;
/// Bytes of their texts; a row group that has reached them is written.
const MAX_BYTES: usize = 32 << 20;

/// The footer's entry with the header line of the JSON format.
pub const HEADER_KEY: &str = "pytrace-ebpf.header";
/// That with the summary line.
pub const SUMMARY_KEY: &str = "pytrace-ebpf.summary";

/// What cannot fail: rows that fit their schema, and memory to write to.
const FITS: &str = "rows of this schema can be written to memory";

/// The Parquet format.
pub struct Parquet {
    writer: SerializedFileWriter<Vec<u8>>,
    cells: Vec<Cells>,
    rows: usize,
    bytes: usize,
}

impl Default for Parquet {
    fn default() -> Self {
        let properties = WriterProperties::builder()
            .set_compression(Compression::LZ4_RAW)
            .set_created_by(concat!("pytrace-ebpf version ", env!("CARGO_PKG_VERSION")).to_owned())
            .build();
        Self {
            writer: SerializedFileWriter::new(
                Vec::new(),
                columns::schema().expect(FITS),
                Arc::new(properties),
            )
            .expect(FITS),
            cells: COLUMNS.iter().map(Cells::of).collect(),
            rows: 0,
            bytes: 0,
        }
    }
}

impl Parquet {
    /// Writes the rows that are held as a row group.
    fn write_rows(&mut self) -> Result<()> {
        if mem::take(&mut self.rows) == 0 {
            return Ok(());
        }
        self.bytes = 0;
        let mut group = self.writer.next_row_group()?;
        for cells in &mut self.cells {
            let Some(mut column) = group.next_column()? else {
                break;
            };
            match cells {
                Cells::Numbers { present, numbers } => {
                    let numbers = mem::take(numbers);
                    let present = present.as_mut().map(mem::take);
                    column
                        .typed::<Int64Type>()
                        .write_batch(&numbers, present.as_deref(), None)?;
                }
                Cells::Texts { present, texts } => {
                    let texts = mem::take(texts);
                    let present = present.as_mut().map(mem::take);
                    column
                        .typed::<ByteArrayType>()
                        .write_batch(&texts, present.as_deref(), None)?;
                }
            }
            column.close()?;
        }
        group.close().map(drop)
    }

    /// Hands over what was written.
    fn drain(&mut self, out: &mut Vec<u8>) -> Result<()> {
        self.writer.flush()?;
        out.append(self.writer.inner_mut());
        Ok(())
    }

    /// Puts a line of the JSON format into the footer.
    fn keep(&mut self, key: &str, write: impl FnOnce(&mut Vec<u8>)) {
        let mut line = Vec::new();
        write(&mut line);
        let line = String::from_utf8_lossy(line.trim_ascii_end()).into_owned();
        self.writer
            .append_key_value_metadata(KeyValue::new(key.to_owned(), line));
    }

    fn end(&mut self, summary: &Summary, out: &mut Vec<u8>) -> Result<()> {
        self.keep(SUMMARY_KEY, |line| Json.summary(summary, line));
        self.write_rows()?;
        self.writer.finish()?;
        self.drain(out)
    }
}

impl Sink for Parquet {
    fn header(&mut self, began: &Began<'_>, _: &mut Vec<u8>) {
        self.keep(HEADER_KEY, |line| Json.header(began, line));
    }

    fn call(&mut self, call: &CallEvent<'_>, names: &mut TypeNames<'_>, out: &mut Vec<u8>) {
        for (column, cells) in COLUMNS.iter().zip(&mut self.cells) {
            self.bytes += cells.push(column, call, names);
        }
        self.rows += 1;
        if self.rows >= MAX_ROWS || self.bytes >= MAX_BYTES {
            self.write_rows().expect(FITS);
            self.drain(out).expect(FITS);
        }
    }

    fn process(&mut self, _: u32, _: &ProcessChange, _: u64, _: &mut Vec<u8>) {}

    fn loss(&mut self, _: u64, _: u64, _: &mut Vec<u8>) {}

    fn summary(&mut self, summary: &Summary, out: &mut Vec<u8>) {
        self.end(summary, out).expect(FITS);
    }
}

#[cfg(test)]
mod tests;
