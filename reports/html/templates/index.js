// Tables of the site's first page sort and filter.
const start = async () => {
  const { default: DataTable } = await library("library-tables");
  for (const element of document.querySelectorAll("table.sorted"))
    new DataTable(element, { paging: false, info: false, order: [], autoWidth: false, language: { search: "Filter " } });
  document.documentElement.dataset.ready = "1";
};
start();
