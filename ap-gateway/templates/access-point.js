// Refreshes the changing part of the page every two seconds while somebody looks at it.
"use strict";
const live = document.getElementById("live");
const freshness = document.getElementById("freshness");

async function refresh() {
  if (document.hidden) return;
  try {
    const answer = await fetch("/live", { signal: AbortSignal.timeout(5000) });
    if (!answer.ok) throw new Error(String(answer.status));
    const scroll = live.querySelector(".scroll");
    const left = scroll ? scroll.scrollLeft : 0;
    live.innerHTML = await answer.text();
    const again = live.querySelector(".scroll");
    if (again) again.scrollLeft = left;
    freshness.textContent = "live";
    freshness.className = "";
  } catch {
    freshness.textContent = "the access point does not answer";
    freshness.className = "bad";
  }
}

setInterval(refresh, 2000);
document.addEventListener("visibilitychange", refresh);
