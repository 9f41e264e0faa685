// Tables as files.

/** Offers `rows` (objects) with `columns` (names) as a file. */
export function download(name, columns, rows) {
  const lines = [columns, ...rows.map((row) => columns.map((column) => row[column]))];
  const text = lines.map((line) => line.map(cell).join(',')).join('\r\n');
  // The mark tells spreadsheets that it is UTF-8.
  const url = URL.createObjectURL(
    new Blob(['\ufeff', text, '\r\n'], { type: 'text/csv;charset=utf-8' }),
  );
  const link = document.createElement('a');
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

function cell(value) {
  if (value === undefined || value === null) return '';
  let text = String(value);
  // A name that looks like a formula must stay a text in the spreadsheet of whoever opens it.
  if (/^[=+\-@\t\r]/.test(text) && !/^-?\d+(\.\d+)?(e-?\d+)?$/i.test(text)) text = `'${text}`;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
