// Programs and arrays in the page are gzip as base64, see packing.py.
const byId = (id) => document.getElementById(id);
const inflate = async (text) => {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).arrayBuffer();
};
const library = async (id) => {
  const code = new Blob([await inflate(byId(id).textContent.trim())], { type: "text/javascript" });
  return import(URL.createObjectURL(code));
};
