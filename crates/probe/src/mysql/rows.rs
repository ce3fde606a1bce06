//! The answer to a statement: columns and rows of text.

use super::packet::{Cursor, Packet, error, foreign, read};
use crate::talk::{Broken, Talk};

/// SHOW REPLICA STATUS has some sixty columns.
const COLUMNS: u64 = 256;
/// A row for each of a server's sources.
const ROWS: usize = 64;

/// Rows by column.
#[derive(Debug, Default)]
pub(super) struct Table {
    columns: Vec<Vec<u8>>,
    pub(super) rows: Vec<Vec<Option<Vec<u8>>>>,
}

impl Table {
    /// The value of `column` in `row`; none when it is NULL or not there.
    pub(super) fn value(&self, row: usize, column: &[u8]) -> Option<&[u8]> {
        let index = self.columns.iter().position(|name| name == column)?;
        self.rows.get(row)?.get(index)?.as_deref()
    }

    /// The first value of the first row.
    pub(super) fn first_value(&self) -> Option<&[u8]> {
        self.rows.first()?.first()?.as_deref()
    }
}

/// Reads a whole answer; the error's number and words when it is one.
pub(super) async fn read_table(talk: &mut Talk) -> Result<Result<Table, (u16, String)>, Broken> {
    let Packet { body, .. } = read(talk).await?;
    if let Some(error) = error(&body) {
        return Ok(Err(error));
    }
    let count = Cursor(&body).number().filter(|count| (1..=COLUMNS).contains(count));
    let count = count.ok_or_else(|| foreign("the answer", &body))?;
    let mut table = Table::default();
    for _ in 0..count {
        let body = read(talk).await?.body;
        table.columns.push(column(&body).ok_or_else(|| foreign("a column", &body))?);
    }
    let end = read(talk).await?.body;
    if !is_end(&end) {
        return Err(foreign("the end of the columns", &end));
    }
    loop {
        let body = read(talk).await?.body;
        if is_end(&body) {
            return Ok(Ok(table));
        }
        if let Some(error) = error(&body) {
            return Ok(Err(error));
        }
        if table.rows.len() == ROWS {
            return Err(Broken::Foreign(format!("the answer has more than {ROWS} rows")));
        }
        table.rows.push(row(&body, table.columns.len()).ok_or_else(|| foreign("a row", &body))?);
    }
}

/// An EOF packet.
fn is_end(body: &[u8]) -> bool {
    body.first() == Some(&0xfe) && body.len() < 9
}

/// The name in a column's definition: the fifth of its texts.
fn column(body: &[u8]) -> Option<Vec<u8>> {
    let mut cursor = Cursor(body);
    let _catalog_schema_table_original =
        [cursor.value()?, cursor.value()?, cursor.value()?, cursor.value()?];
    cursor.value()?.map(<[u8]>::to_vec)
}

fn row(body: &[u8], columns: usize) -> Option<Vec<Option<Vec<u8>>>> {
    let mut cursor = Cursor(body);
    (0..columns).map(|_| cursor.value().map(|value| value.map(<[u8]>::to_vec))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn rows_and_columns_are_read() {
        assert_eq!(column(b"\x03def\0\0\0\x04Name\x04name\x0c"), Some(b"Name".to_vec()));
        assert_eq!(
            row(b"\x01a\xfb\xfc\x02\0bc", 3),
            Some(vec![Some(b"a".to_vec()), None, Some(b"bc".to_vec())])
        );
        assert_eq!(row(b"\x05a", 1), None);
        assert_eq!(row(b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff", 1), None);
    }

    proptest! {
        #[test]
        fn no_bytes_bring_it_down(bytes in proptest::collection::vec(any::<u8>(), 0..100), columns in 0usize..20) {
            let _row = row(&bytes, columns);
            let _column = column(&bytes);
        }
    }
}
