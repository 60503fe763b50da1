// early.mjs CLIENT FORM METHOD URL SIZE TIMES sends requests whose bodies the server does not read, and prints a line
// for each answer: its status, and how long its body is.
import http from "node:http";

const [client, form, method, url, size, times] = process.argv.slice(2);
const piece = Buffer.alloc(64 << 10, "x");

function* pieces() {
  for (let left = Number(size); left > 0; left -= piece.length) yield piece.subarray(0, Math.min(left, piece.length));
}

async function byFetch() {
  const chunked = form === "chunked";
  const body = chunked ? ReadableStream.from(pieces()) : Buffer.alloc(Number(size), "x");
  const res = await fetch(url, { method, body, duplex: "half" });
  return [res.status, (await res.text()).length];
}

function byRequest() {
  return new Promise((resolve, reject) => {
    const headers = form === "chunked" ? {} : { "Content-Length": size };
    const req = http.request(url, { method, headers }, (res) => {
      let length = 0;
      res.on("data", (data) => (length += data.length));
      res.on("end", () => resolve([res.statusCode, length]));
      res.on("error", reject);
    });
    req.on("error", reject);
    const body = pieces();
    const send = () => {
      for (let next = body.next(); !next.done; next = body.next()) if (!req.write(next.value)) return req.once("drain", send);
      req.end();
    };
    send();
  });
}

for (let i = 0; i < Number(times); i++) {
  try {
    console.log((await (client === "fetch" ? byFetch : byRequest)()).join(" "));
  } catch (e) {
    console.log(e.message, e.cause?.message ?? "", e.code ?? e.cause?.code ?? "");
  }
}
process.exit(0);
