"use strict";

// Shows of a list only the items that contain all words of its field, and how many these are.
function follow(field) {
  const items = Array.from(document.querySelectorAll(field.dataset.items));
  const texts = items.map((item) => item.textContent.toLowerCase());
  const shown = document.getElementById(field.dataset.count);
  const show = () => {
    const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    items.forEach((item, place) => {
      const found = words.every((word) => texts[place].includes(word));
      item.hidden = !found;
      count += found;
    });
    shown.textContent = words.length ? `${count} of ${items.length} shown` : "";
  };
  field.addEventListener("input", show);
  field.addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
      field.value = "";
      show();
    }
  });
}

document.querySelectorAll("input[data-items]").forEach(follow);

// A reason in the bars filters the table beneath them.
document.querySelectorAll("button[data-words]").forEach((button) => {
  button.addEventListener("click", () => {
    const field = document.getElementById("wrong-filter");
    field.value = button.dataset.words;
    field.dispatchEvent(new Event("input"));
    field.scrollIntoView({ block: "start" });
    field.focus({ preventScroll: true });
  });
});

// The fields do nothing without this script, so they are hidden without it.
document.querySelectorAll(".filter").forEach((filter) => {
  filter.hidden = false;
});
