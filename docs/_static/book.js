// A name in a table may break after an underscore.
document.addEventListener('DOMContentLoaded', () => {
  for (const cell of document.querySelectorAll('.cell_output td'))
    if (!cell.childElementCount) cell.innerHTML = cell.innerHTML.replaceAll('_', '_<wbr>');
});

// Tables of more than three rows can be sorted by a click on a column's title.
document.addEventListener('DOMContentLoaded', () => {
  for (const table of document.querySelectorAll('article table')) {
    const rows = table.tBodies[0]?.rows.length ?? 0;
    const plain = table.tHead?.rows.length === 1 && !table.querySelector('tbody [rowspan], [colspan]:not([colspan="1"])');
    if (plain && !table.closest('figure'))
      new DataTable(table, {ordering: rows > 3, paging: false, searching: false, info: false, autoWidth: false, order: []});
  }
});
