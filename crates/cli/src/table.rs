//! Text in columns.

/// Rows of text, each cell as wide as the widest of its column.
#[derive(Debug, Default)]
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new<const N: usize>(header: [&str; N]) -> Self {
        Self { rows: vec![header.map(str::to_owned).to_vec()] }
    }

    /// Adds a row. What a cell holds may be another program's words: they are [`shown`].
    pub(crate) fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.iter().map(|cell| shown(cell)).collect());
    }

    /// The table with every line indented by `indent` blanks.
    pub(crate) fn render(&self, indent: usize) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            self.rows.iter().filter_map(|row| row.get(column)).map(|c| c.chars().count()).max()
        };
        let widths: Vec<usize> = (0..columns).map(|c| width(c).unwrap_or(0)).collect();
        let mut text = String::new();
        for row in &self.rows {
            let line: String =
                row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}  ")).collect();
            text.push_str(&" ".repeat(indent));
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

/// A text that steers no terminal, whoever has said it: U+FFFD stands for each control character.
pub(crate) fn shown(text: &str) -> String {
    text.replace(char::is_control, "\u{fffd}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_lines_have_no_trailing_blanks() {
        let mut table = Table::new(["NAME", "STATE", ""]);
        table.row(["a-long-name".into(), "up".into(), String::new()]);
        assert_eq!(table.render(1), " NAME         STATE\n a-long-name  up\n");
    }

    #[test]
    fn a_cell_holds_no_control_character() {
        let mut table = Table::new(["WHAT"]);
        table.row(["a\u{1b}[2J\nb\tc\u{85}é".into()]);
        assert_eq!(table.render(0), "WHAT\na\u{fffd}[2J\u{fffd}b\u{fffd}c\u{fffd}é\n");
    }
}
