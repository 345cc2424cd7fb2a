// A link /login#token=…&next=/path signs in by itself. What follows # is not sent to any server.
const link = new URLSearchParams(location.hash.slice(1));
if (link.has("token")) {
  history.replaceState(null, "", location.pathname + location.search);
  const form = document.querySelector("form");
  form.elements.token.value = link.get("token");
  if (link.has("next")) form.elements.next.value = link.get("next");
  form.submit();
}
