// Glue between the numbers in the page, Vega-Lite and DataTables.
// An array packed by packing.py: `at(i, j, ...)` reads one number, null where it is missing.
const unpack = async ({ shape, numbers }) => {
  const planes = new Uint8Array(await inflate(numbers));
  const n = planes.length / 4;
  const bytes = new Uint8Array(planes.length);
  for (let plane = 0; plane < 4; plane++) for (let i = 0; i < n; i++) bytes[4 * i + plane] = planes[plane * n + i];
  const flat = new Float32Array(bytes.buffer);
  const at = (...place) => {
    const value = flat[place.reduce((sum, i, axis) => sum * shape[axis] + i, 0)];
    return Number.isNaN(value) ? null : value;
  };
  return { shape, at };
};
const payload = JSON.parse(byId("payload").textContent);
const dark = matchMedia("(prefers-color-scheme: dark)");
const colour = (model) => payload.looks[model][dark.matches ? 1 : 0];
const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const shown = (value, places = 3) => (value === null || value === undefined ? "–" : value.toFixed(places).replace("-", "−"));
const between = (low, high, places) => (low === null ? "" : ` [${shown(low, places)}, ${shown(high, places)}]`);
const option = (select, text, value, group) => (group ?? select).append(new Option(text, value));
const grouped = (select, items) => {
  select.replaceChildren();
  const groups = new Map();
  for (const [group, text, value] of items) {
    if (!groups.has(group)) {
      const made = document.createElement("optgroup");
      made.label = group;
      select.append(made);
      groups.set(group, made);
    }
    option(select, text, value, groups.get(group));
  }
};
const save = (name, rows) => {
  const quote = (value) => (/[",\n\r]/.test(String(value ?? "")) ? `"${String(value).replaceAll('"', '""')}"` : String(value ?? ""));
  const text = rows.map((row) => row.map(quote).join(",")).join("\n") + "\n";
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
  link.download = name;
  link.click();
  URL.revokeObjectURL(link.href);
};

// The chosen task, with its arrays taken out, and everything else that is chosen.
const state = { task: null, metric: 0, condition: 0, model: 0 };
const opened = new Map();
const openTask = async (number) => {
  if (!opened.has(number)) {
    const task = { ...payload.tasks[number] };
    for (const name of ["board", "in_contexts", "values"]) task[name] = await unpack(task[name]);
    opened.set(number, task);
  }
  return opened.get(number);
};
const metric = () => state.task.metrics[state.metric];
const goodness = (value) => (metric().higher ? value : -value);
const board = (model) => {
  const [mean, low, high, rank, alike] = [0, 1, 2, 3, 4].map((fact) => state.task.board.at(state.metric, model, fact));
  return { mean, low: low ?? mean, high: high ?? mean, rank, alike, text: shown(mean, metric().places) + between(low, high, metric().places) };
};
const ordered = () =>
  state.task.models
    .map((model, place) => ({ model, place, ...board(place) }))
    .filter((row) => row.mean !== null && !state.task.reference[row.place])
    .sort((a, b) => goodness(b.mean) - goodness(a.mean));
const look = (row) => ({ colour: colour(row.model), shape: payload.looks[row.model][2], fill: state.task.quick[row.place] ? style("--page") : colour(row.model) });
// Give `label` to the points of a chart that have room for a name, the first rows before others: names must not overlap.
// `x` and `y` read a row; `xs` and `ys` are all values of an axis.
const label = (rows, holder, x, y, xs, ys, { height = 360, name = "model" } = {}) => {
  const [width, room, letter, line, taken] = [Math.max(holder.clientWidth - 70, 150), 14, 6.8, 15, []];
  const scaled = (of, all, size) => {
    const [low, high] = [Math.min(...all), Math.max(...all)];
    return (row) => room + ((size - 2 * room) * (of(row) - low)) / (high - low || 1);
  };
  const [across, up] = [scaled(x, xs, width), scaled(y, ys, height)];
  const meets = (a, b) => a[0] < b[1] && b[0] < a[1] && Math.abs(a[2] - b[2]) < line;
  const dots = new Map(rows.map((row) => [row, [across(row) - 6, across(row) + 6, up(row)]]));
  for (const row of rows) {
    const [at, long] = [across(row), letter * row[name].length];
    for (const [left, shift] of [0, 10, -10].flatMap((shift) => [[false, shift], [true, shift]])) {
      const box = [...(left ? [at - 9 - long, at - 9] : [at + 9, at + 9 + long]), up(row) + shift];
      const free = box[0] >= 0 && box[1] <= width && ![...dots].some(([other, dot]) => other !== row && meets(box, dot)) && !taken.some((other) => meets(box, other));
      if (free && !row.label) Object.assign(row, { left, shift: -shift, label: row[name] }), taken.push(box);
    }
    row.label ??= "";
  }
  const without = rows.filter((row) => !row.label).length;
  return without ? `${without} of ${rows.length} models have no room for their name; it is shown where the pointer is on a point.` : "";
};
const conditionName = ([context, condition]) => (state.task.contexts.length > 1 ? `${context} / ${condition}` : condition);
const ink = (rows) => {
  const values = rows.map((row) => row.value);
  const [low, high] = [Math.min(...values), Math.max(...values)];
  for (const row of rows) {
    const light = high > low ? (row.value - low) / (high - low) : 0.5;
    row.ink = (metric().higher ? light : 1 - light) > 0.5 ? "#111111" : "#ffffff";
  }
  return rows;
};

// What each chart shows: `data` by name, `texts` for "@name", `why` where it cannot be drawn.
const charts = {
  ranking() {
    const rows = ordered().map((row) => ({ ...row, ...look(row), note: state.task.notes[row.place] }));
    if (!rows.length) return { why: "No model has a value of this metric." };
    const ends = rows.flatMap((row) => [row.low, row.high]);
    const [low, high] = [Math.min(...ends), Math.max(...ends)];
    const reach = 0.8 * (high - low || Math.abs(high) || 1);
    const references = state.task.models
      .map((model, place) => ({ model, place, ...board(place) }))
      .filter((row) => state.task.reference[row.place] && row.mean !== null && ["split_half", "ceiling", "expectation"].includes(row.model));
    const near = references.filter((row) => row.mean >= low - reach && row.mean <= high + reach);
    const far = references.filter((row) => !near.includes(row)).map((row) => `${row.model} ${row.text}`);
    return { data: { rows, references: near }, note: far.length ? `Off the axis: ${far.join("; ")}.` : "" };
  },
  contexts() {
    const rows = [];
    for (const { model, place } of ordered())
      state.task.contexts.forEach((condition, context) => {
        const value = state.task.in_contexts.at(state.metric, place, context);
        if (value !== null) rows.push({ model, condition, value, text: shown(value, metric().places), label: shown(value, Math.min(metric().places, 2)) });
      });
    return rows.length ? { data: { rows: ink(rows) }, lower: !metric().higher } : { why: "No model has a value of this metric." };
  },
  conditions() {
    const models = ordered();
    let places = state.task.conditions.map((_, place) => place);
    const median = (place) => {
      const values = models.map((row) => state.task.values.at(state.metric, place, row.place)).filter((value) => value !== null);
      values.sort((a, b) => a - b);
      return values.length ? goodness(values[values.length >> 1]) : Infinity;
    };
    if (byId("order").value === "hard") {
      const hard = new Map(places.map((place) => [place, median(place)]));
      places = places.sort((a, b) => hard.get(a) - hard.get(b));
    }
    const rows = [];
    for (const place of places)
      for (const row of models) {
        const value = state.task.values.at(state.metric, place, row.place);
        if (value !== null) rows.push({ model: row.model, condition: conditionName(state.task.conditions[place]), value, text: shown(value, metric().places) });
      }
    return rows.length ? { data: { rows }, lower: !metric().higher, renderer: "canvas" } : { why: "No model has a value of this metric." };
  },
  effect() {
    if (!state.task.effects.length) return { why: "conditions.csv is not in this folder, or does not say how many genes a condition changes." };
    const chosen = new Set([...document.querySelectorAll("#effect-models input:checked")].map((box) => box.value));
    const models = ordered().filter((row) => chosen.has(row.model));
    const rows = [];
    for (const row of models)
      state.task.conditions.forEach((condition, place) => {
        const [x, y] = [state.task.effects[place], state.task.values.at(state.metric, place, row.place)];
        if (x !== null && y !== null) rows.push({ model: row.model, condition: conditionName(condition), x, y, text: shown(y, metric().places) });
      });
    if (!rows.length) return { why: "Choose a model that has values of this metric." };
    const lists = { models: models.map((row) => row.model), colours: models.map((row) => colour(row.model)) };
    const lines = new Set(rows.map((row) => row.x)).size > 5; // a regression of fewer says nothing
    return { data: { rows }, lists, texts: { effect: "genes changed (FDR < 0.05)" }, layers: lines ? 2 : 1 };
  },
  cost(holder) {
    const rows = ordered()
      .map((row) => ({ ...row, ...look(row), time: state.task.seconds[row.place] }))
      .filter((row) => row.time !== null)
      .map((row) => ({ ...row, seconds: Math.max(row.time, 0.01), across: Math.log(Math.max(row.time, 0.01)), time: `${row.time} s` }));
    return rows.length ? { data: { rows }, note: label(rows, holder, (row) => row.across, (row) => row.mean, rows.map((row) => row.across), rows.flatMap((row) => [row.low, row.high])) } : { why: "Times of training are not known, as for files of predictions that are scored." };
  },
  calibration() {
    const rows = state.task.calibration;
    return rows.length ? { data: { rows }, texts: { baseline: state.task.baseline } } : { why: "Split half, ceiling or baseline have no values in this task." };
  },
  copying(holder) {
    const place = (name) => state.task.metrics.findIndex((own) => own.name === name);
    const [truth, margin, flags] = ["sim_tp", "copy_margin", "copies_input"].map(place);
    const rows = [];
    if (truth >= 0 && margin >= 0)
      state.task.models.forEach((model, at) => {
        const [y, apart] = [state.task.board.at(truth, at, 0), state.task.board.at(margin, at, 0)];
        if (y === null || apart === null || state.task.reference[at]) return;
        const flagged = flags < 0 ? null : state.task.board.at(flags, at, 0);
        rows.push({ model, y, x: y - apart, flagged: flagged === null ? "–" : `flagged as a copy on ${(100 * flagged).toFixed(0)} % of conditions`, ...look({ model, place: at }) });
      });
    if (!rows.length) return { why: "The metrics of the copy audit (sim_tp, copy_margin) have no values in this task." };
    const ends = rows.flatMap((row) => [row.x, row.y]);
    const diagonal = [Math.min(...ends), Math.max(...ends)].map((at) => ({ x: at, y: at }));
    return { data: { rows, diagonal }, note: label(rows, holder, (row) => row.x, (row) => row.y, ends, ends) };
  },
  genes(holder) {
    const { rows, why } = genesOf();
    if (why) return { why };
    const ends = rows.flatMap((row) => [row.true, row.predicted]);
    const named = rows.filter((row) => row.kind !== "other genes").sort((a, b) => (b.kind === "perturbed gene") - (a.kind === "perturbed gene") || Math.abs(b.true) - Math.abs(a.true));
    label(named, holder, (row) => row.true, (row) => row.predicted, [...ends, 0], [...ends, 0], { height: 400, name: "gene" });
    for (const row of rows) row.label ??= "";
    const diagonal = [Math.min(...ends), Math.max(...ends)].map((at) => ({ true: at, predicted: at }));
    return { data: { rows, diagonal }, texts: { unit: "log2, or the data's own unit" }, renderer: rows.length > 1500 ? "canvas" : "svg" };
  },
  cells() {
    const found = state.task.cells?.conditions[Number(byId("cells-condition").value)];
    if (!found) return { why: "" };
    const model = byId("cells-model").value;
    const rows = [];
    for (const part of found.sets)
      if (part.model === "" || part.model === model)
        for (let cell = 0; cell < part.places.shape[0]; cell++) rows.push({ cells: part.cells, unit: part.unit, x: part.places.at(cell, 0), y: part.places.at(cell, 1) });
    return { data: { rows } };
  },
};

const config = () => {
  const [text, quiet, rule] = ["--text", "--quiet", "--rule"].map(style);
  const axis = { labelColor: text, titleColor: text, domainColor: quiet, tickColor: quiet, gridColor: rule, labelFontSize: 12, titleFontSize: 12, titleFontWeight: 500 };
  const legend = { labelColor: text, symbolBaseFillColor: text, symbolBaseStrokeColor: text, titleColor: text, labelFontSize: 12, titleFontSize: 12, titleFontWeight: 500 };
  return { background: "transparent", font: "system-ui, sans-serif", view: { stroke: null }, axis, legend, text: { color: text }, point: { fill: "transparent" } };
};
const draw = async (figure) => {
  figure.dataset.due = "";
  const name = figure.dataset.chart;
  const [holder, remark] = [figure.querySelector(".holder"), figure.querySelector(".note")];
  figure.hidden = false;
  const { data, why, note, texts = {}, lists = {}, lower, renderer = "svg", layers } = charts[name](holder);
  remark.textContent = why ?? note ?? "";
  remark.hidden = !remark.textContent;
  figure.hidden = why === "";
  holder.replaceChildren();
  if (!data) return;
  let text = JSON.stringify(payload.charts[name]);
  for (const [key, list] of Object.entries(lists)) text = text.replaceAll(`["@${key}"]`, () => JSON.stringify(list));
  for (const [key, word] of Object.entries({ metric: metric().title, ...texts })) text = text.replaceAll(`@${key}`, () => JSON.stringify(word).slice(1, -1));
  const spec = JSON.parse(text);
  spec.datasets = data;
  // a width of "container" would fit the height as well, which depends on the rows
  Object.assign(spec, { width: holder.clientWidth, autosize: { type: "fit-x", contains: "padding" } });
  if (spec.usermeta) spec.height = spec.height.step * new Set(data.rows.map((row) => row[spec.usermeta.lines])).size;
  if (layers) spec.layer = spec.layer.slice(0, layers);
  for (const own of spec.params ?? []) if (own.name === "lower") own.value = Boolean(lower);
  const actions = { export: true, source: false, compiled: false, editor: false };
  const made = await vegaEmbed(holder, spec, { renderer, actions, config: config(), theme: undefined, downloadFileName: `${name}-${metric().name}`, tooltip: { theme: dark.matches ? "dark" : "light" } });
  holder.querySelector("summary")?.setAttribute("aria-label", `Save this chart: ${name}`);
  return made;
};
let drawing = Promise.resolve();
const visible = new IntersectionObserver(
  (entries) => {
    for (const { target, isIntersecting } of entries) if (isIntersecting && target.dataset.due) queue(target);
  },
  { rootMargin: "400px" },
);
const queue = (figure) =>
  (drawing = drawing
    .then(() => figure.dataset.due && draw(figure))
    .catch((error) => {
      console.error(`${figure.dataset.chart}: ${error.stack}`);
      Object.assign(figure.querySelector(".note"), { hidden: false, textContent: `This chart could not be drawn: ${error.message}` });
    }));
const redraw = (...names) => {
  for (const figure of document.querySelectorAll(".chart"))
    if (!names.length || names.includes(figure.dataset.chart)) {
      figure.dataset.due = "1";
      visible.unobserve(figure);
      visible.observe(figure);
    }
  // those that nobody has scrolled to are drawn when the page has nothing else to do, so that it prints whole
  const rest = window.requestIdleCallback ?? ((work) => setTimeout(work, 300));
  rest(() => document.querySelectorAll(".chart").forEach((figure) => figure.dataset.due && queue(figure)), { timeout: 4000 });
};

// Changes of genes, for the drill-down.
const genesOf = () => {
  const changes = state.task.changes;
  if (!changes) return { why: "This folder has no changes.csv: predictions that were scored from files leave no mean profiles, and runs of older versions had none. A run of this version writes it (run --resume adds it)." };
  const [condition, model] = [Number(byId("condition").value), Number(byId("model").value)];
  const first = changes.sizes.slice(0, condition).reduce((sum, size) => sum + size, 0);
  const rows = [];
  for (let row = first; row < first + changes.sizes[condition]; row++) {
    const predicted = changes.arrays.predicted.at(model, row);
    if (predicted === null) return { why: `${changes.models[model]} has no prediction of this condition; the reason is under “What is missing, and why”.` };
    const own = changes.arrays.perturbed.at(row) === 1;
    rows.push({ gene: changes.genes[changes.arrays.gene.at(row)], true: changes.arrays.true.at(row), predicted, kind: own ? "perturbed gene" : "other genes" });
  }
  const others = rows.filter((row) => row.kind === "other genes").sort((a, b) => Math.abs(b.true) - Math.abs(a.true));
  for (const row of others.slice(0, 10)) row.kind = "largest true changes";
  return { rows };
};
let geneTable = null;
const fillGenes = (DataTable) => {
  const { rows = [], why } = genesOf();
  byId("download-genes").disabled = Boolean(why);
  const table = rows.map((row) => [row.gene, row.kind, row.true, row.predicted, row.predicted - row.true]);
  if (geneTable) geneTable.clear().rows.add(table).draw();
  else if (table.length) {
    const numeric = { className: "num", type: "num", render: (value, type) => (type === "display" ? shown(value, 3) : value) };
    const word = { render: DataTable.render.text() };
    geneTable = new DataTable(byId("genes"), {
      data: table,
      columns: [{ title: "gene", ...word }, { title: "kind", ...word }, ...["true change", "predicted change", "difference"].map((title) => ({ title, ...numeric }))],
      order: [],
      pageLength: 10,
      autoWidth: false,
      lengthMenu: [10, 50, 500],
      language: { search: "Find a gene ", lengthMenu: "_MENU_ genes a page", info: "_START_ to _END_ of _TOTAL_ genes", infoEmpty: "no gene" },
    });
  }
};

const start = async () => {
  const [, tables] = await Promise.all([library("library-vega"), library("library-tables")]);
  const { default: DataTable } = tables;
  const boards = new Map();
  const openBoard = (number) => {
    if (boards.has(number)) return;
    const element = byId(`board-${number}`);
    const heads = [...element.tHead.rows[0].cells];
    const table = new DataTable(element, {
      paging: false,
      info: false,
      order: [],
      autoWidth: false,
      language: { search: "Filter models " },
      columnDefs: heads.map((head, target) => ({
        target,
        visible: head.dataset.shown !== "0",
        ...(head.dataset.better ? { type: "num", orderSequence: head.dataset.better === "desc" ? ["desc", "asc"] : ["asc", "desc"] } : {}),
      })),
    });
    const tools = element.closest(".task");
    const boxes = [...tools.querySelectorAll(".columns input")];
    const show = (name, on) => table.column(heads.findIndex((head) => head.dataset.name === name)).visible(on, false);
    for (const box of boxes) box.addEventListener("change", () => show(box.value, box.checked));
    tools.querySelector(".family").addEventListener("change", ({ target }) => {
      for (const head of heads.filter((own) => own.dataset.family)) {
        const on = target.value === "*" || (target.value ? head.dataset.family === target.value : head.dataset.shown === "1");
        show(head.dataset.name, on);
        boxes.find((box) => box.value === head.dataset.name).checked = on;
      }
    });
    tools.querySelector(".references").addEventListener("change", ({ target }) => element.classList.toggle("no-references", !target.checked));
    boards.set(number, table);
  };
  const chooseTask = async (number) => {
    state.task = await openTask(number);
    for (const part of document.querySelectorAll(".task")) part.hidden = Number(part.dataset.task) !== number;
    openBoard(number);
    grouped(byId("metric"), state.task.metrics.map((own, place) => [own.family, own.title, place]));
    state.metric = state.task.metrics.findIndex((own) => own.name === state.task.lead);
    byId("metric").value = state.metric;
    const best = ordered().slice(0, 4).map((row) => row.model);
    byId("effect-models").replaceChildren(
      ...ordered().map(({ model }) => {
        const [label, box] = [document.createElement("label"), document.createElement("input")];
        Object.assign(box, { type: "checkbox", value: model, checked: best.includes(model) || model === state.task.baseline });
        label.append(box, ` ${model}`);
        return label;
      }),
    );
    await openGenes();
    await openCells();
    redraw();
  };
  const openGenes = async () => {
    const changes = state.task.changes;
    const tools = byId("condition").closest(".tools");
    tools.hidden = !changes;
    byId("genes").closest(".scroll").hidden = !changes;
    byId("drill-note").textContent = "";
    if (!changes) return;
    changes.arrays ??= Object.fromEntries(await Promise.all(["gene", "perturbed", "true", "predicted"].map(async (name) => [name, await unpack(changes[name])])));
    grouped(byId("condition"), changes.conditions.map(([context, condition], place) => [context, condition, place]));
    byId("model").replaceChildren();
    changes.models.forEach((model, place) => option(byId("model"), model, place));
    const leader = ordered()[0]?.model;
    byId("model").value = Math.max(0, changes.models.indexOf(leader));
    byId("drill-note").textContent = `${changes.genes.length.toLocaleString("en")} genes are kept in changes.csv, at most ${Math.max(...changes.sizes).toLocaleString("en")} of one condition: the perturbed ones, those of largest true and predicted change, and others at random. Changes are of mean profiles, first seed.`;
    fillGenes(DataTable);
  };
  const openCells = async () => {
    const cells = state.task.cells;
    byId("cells-tools").hidden = !cells;
    byId("cells-note").textContent = cells ? "A few conditions, those with most changed genes. A picture of distances, not a measure: neighbours in it need not be neighbours in expression." : "This run did not keep predicted cells; with --keep-predictions (and --resume, which makes them again) this place shows a UMAP of input, true and predicted cells.";
    if (!cells) return;
    for (const own of cells.conditions) for (const part of own.sets) part.places ??= await unpack(part.at);
    byId("cells-condition").replaceChildren();
    cells.conditions.forEach((own, place) => option(byId("cells-condition"), own.condition.join(" / "), place));
    byId("cells-model").replaceChildren();
    const models = new Set(cells.conditions.flatMap((own) => own.sets.map((part) => part.model)).filter(Boolean));
    for (const { model } of ordered()) if (models.has(model)) option(byId("cells-model"), model, model);
  };
  byId("task").addEventListener("change", ({ target }) => chooseTask(Number(target.value)));
  byId("metric").addEventListener("change", ({ target }) => {
    state.metric = Number(target.value);
    redraw("ranking", "contexts", "conditions", "effect", "cost");
  });
  byId("order").addEventListener("change", () => redraw("conditions"));
  byId("effect-models").addEventListener("change", () => redraw("effect"));
  for (const id of ["condition", "model"])
    byId(id).addEventListener("change", () => {
      fillGenes(DataTable);
      redraw("genes");
    });
  for (const id of ["cells-condition", "cells-model"]) byId(id).addEventListener("change", () => redraw("cells"));
  byId("download-scores").addEventListener("click", () => {
    const head = ["context", "condition", ...state.task.models];
    const rows = state.task.conditions.map((own, place) => [...own, ...state.task.models.map((_, model) => state.task.values.at(state.metric, place, model))]);
    save(`${metric().name}.csv`, [head, ...rows]);
  });
  byId("download-genes").addEventListener("click", () => {
    const name = [byId("condition"), byId("model")].map((select) => select.selectedOptions[0].text).join("-");
    save(`genes-${name}.csv`, [["gene", "true_change", "predicted_change"], ...genesOf().rows.map((row) => [row.gene, row.true, row.predicted])]);
  });
  dark.addEventListener("change", () => redraw());
  let [width, waiting] = [document.body.clientWidth, 0];
  new ResizeObserver(() => {
    clearTimeout(waiting);
    waiting = setTimeout(() => document.body.clientWidth !== width && ((width = document.body.clientWidth), redraw()), 200);
  }).observe(document.body);
  await chooseTask(0);
  document.documentElement.dataset.ready = "1";
};
start();
