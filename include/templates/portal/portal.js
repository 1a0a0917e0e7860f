// Pages work without this. Airflow shows them in a frame that may not leave itself, so a link to one of Airflow's own
// pages is followed by the window around the frame.
"use strict";

document.addEventListener("click", (event) => {
  const link = event.target.closest("a[target=_top]");
  if (!link || window.parent === window || event.defaultPrevented || event.button !== 0) return;
  const around = window.parent.document.createElement("a");
  around.href = link.href;
  window.parent.document.body.append(around);
  around.click();
  around.remove();
  event.preventDefault();
});
