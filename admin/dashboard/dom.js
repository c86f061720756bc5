// Building and changing the page in place. Text from the server becomes text nodes, never markup.

function byId(id) {
    return document.getElementById(id);
}

/** el("td", {class: "name"}, child, "text", …); attributes of value null are left out. */
function el(name, attributes = {}, ...children) {
    const element = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) {
        if (value !== null && value !== undefined) element.setAttribute(key, value);
    }
    element.append(...children);
    return element;
}

/** Changes nothing that is as it should be, so that selections and screen readers keep calm. */
function setText(element, text) {
    const wanted = String(text);
    if (element.textContent !== wanted) element.textContent = wanted;
}

function setAttribute(element, name, value) {
    const wanted = String(value);
    if (element.getAttribute(name) !== wanted) element.setAttribute(name, wanted);
}

function setHidden(element, hidden) {
    if (element.hidden !== hidden) element.hidden = hidden;
}

/**
 * Makes the children of `parent` those of `items`, in their order: `make(item)` gives a view, that
 * is {root, update(item)}; views of the same key stay. `views` is the map that keeps them.
 */
function reconcile(parent, views, items, keyOf, make) {
    const seen = new Set();
    let place = parent.firstElementChild;
    for (const item of items) {
        let key = keyOf(item);
        while (seen.has(key)) key += " ";
        seen.add(key);
        let view = views.get(key);
        if (!view) {
            view = make(item);
            views.set(key, view);
        }
        if (view.root === place) place = place.nextElementSibling;
        else parent.insertBefore(view.root, place);
        view.update(item);
    }
    for (const [key, view] of views) {
        if (seen.has(key)) continue;
        view.root.remove();
        views.delete(key);
    }
}

/**
 * A table that keeps its meaning when it is laid out as cards: roles are said, and each cell knows
 * its heading. `columns` is [{title, note, class}]; the first column heads the rows.
 */
function tableOf(caption, columns) {
    const heads = columns.map((column) => {
        const cell = el("th", { scope: "col", role: "columnheader", class: column.class },
            column.title);
        if (column.note) cell.append(el("small", {}, column.note));
        return cell;
    });
    const body = el("tbody", { role: "rowgroup" });
    const table = el("table", { role: "table" },
        el("caption", { class: "spoken" }, caption),
        el("thead", { role: "rowgroup" }, el("tr", { role: "row" }, ...heads)), body);
    return { table, body };
}

/** A row of `tableOf`: {row, cells}; each cell is {main, sub}, two lines. */
function rowOf(columns) {
    const row = el("tr", { role: "row" });
    const cells = columns.map((column, index) => {
        const main = el("span", { class: "main" });
        const sub = el("span", { class: "sub" });
        const label = column.note ? `${column.title}, ${column.note}` : column.title;
        const cell = el(index === 0 ? "th" : "td", {
            scope: index === 0 ? "row" : null, role: index === 0 ? "rowheader" : "cell",
            class: column.class, "data-label": label }, main, sub);
        row.append(cell);
        return { cell, main, sub };
    });
    return { row, cells };
}

function fill(cell, main, sub = "") {
    setText(cell.main, main);
    setText(cell.sub, sub);
}

/** A word with a sign of its own shape, so that colour is not all that tells. */
function badge() {
    const word = el("span");
    const root = el("span", { class: "badge" }, el("span", { class: "sign", "aria-hidden": "true" }),
        word);
    return {
        root,
        set(kind, text) {
            setAttribute(root, "data-kind", kind);
            setText(word, text);
        },
    };
}

const svgNamespace = "http://www.w3.org/2000/svg";

function svgEl(name, attributes) {
    const element = document.createElementNS(svgNamespace, name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    return element;
}
