"use strict";
// A click on a heading sorts its table by that column; a second click turns it round. Missing values stay last.
(function () {
  function key(cell, numeric) {
    var given = cell.getAttribute("data-v");
    if (!numeric) return cell.textContent.trim().toLowerCase();
    if (given !== null) return given === "" ? NaN : Number(given);
    var found = cell.textContent.replace(/,/g, "").match(/[+-]?\$?[0-9.]+(e[+-]?[0-9]+)?/i);
    return found ? Number(found[0].replace("$", "")) : NaN;
  }
  function compare(a, b, numeric) {
    if (!numeric) return a.localeCompare(b, "en", { numeric: true });
    var lost = isNaN(a) - isNaN(b);
    return lost || a - b;
  }
  document.addEventListener("click", function (event) {
    var button = event.target.closest("th button");
    if (!button) return;
    var th = button.parentNode, table = th.closest("table"), body = table.tBodies[0];
    var at = th.cellIndex, numeric = th.classList.contains("num");
    var down = th.getAttribute("aria-sort") === "ascending";
    table.querySelectorAll("th").forEach(function (other) { other.removeAttribute("aria-sort"); });
    th.setAttribute("aria-sort", down ? "descending" : "ascending");
    Array.from(body.rows)
      .map(function (row) { return [key(row.cells[at], numeric), row]; })
      .sort(function (a, b) {
        var sign = down && !(numeric && (isNaN(a[0]) || isNaN(b[0]))) ? -1 : 1;
        return sign * compare(a[0], b[0], numeric);
      })
      .forEach(function (pair) { body.appendChild(pair[1]); });
  });
})();
