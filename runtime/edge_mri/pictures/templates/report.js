{
  const read = (id) => JSON.parse(document.getElementById(id).textContent);
  const rows = read("records").map(([row, pictures], position) => ({ ...row, pictures, position }));
  recordsTable(read("about"), rows);
}
