(function () {
  "use strict";
  var form = document.getElementById("filter");
  var rows = Array.prototype.slice.call(document.querySelectorAll("#findings tbody tr"));
  var count = document.getElementById("count");
  if (!form || !count) { return; }
  form.hidden = false;
  var texts = rows.map(function (row) { return row.textContent.toLowerCase(); });
  function apply() {
    var words = form.elements.text.value.toLowerCase().split(/\s+/).filter(Boolean);
    var severity = form.elements.severity.value;
    var status = form.elements.status.value;
    var rule = form.elements.rule.value;
    var shown = 0;
    rows.forEach(function (row, i) {
      var keep = (!severity || row.dataset.severity === severity) &&
        (!status || row.dataset.status === status) &&
        (!rule || row.dataset.rule === rule) &&
        words.every(function (word) { return texts[i].indexOf(word) >= 0; });
      row.hidden = !keep;
      if (keep) { shown += 1; }
    });
    count.textContent = shown + " of " + rows.length + " shown";
  }
  form.addEventListener("input", apply);
  form.addEventListener("reset", function () { window.setTimeout(apply, 0); });
  form.addEventListener("submit", function (event) { event.preventDefault(); });
  apply();
})();
