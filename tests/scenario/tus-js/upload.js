// Uploads a file with tus-js-client as a browser or Node program would, and prints one JSON line.
// node upload.js URL FILE [--chunk BYTES] [--break-at BYTES] [--with-upload] [--terminate]
//     [--defer-length] [--parallel COUNT] [--protocol ietf-draft-03|ietf-draft-05 [--then PROTOCOL]]
// With a protocol it is tus-js-client 5, which speaks it; after a break it goes on in another.
import fs from "node:fs";
import { PassThrough } from "node:stream";
const [url, path, ...flags] = process.argv.slice(2);
const word = (name) => {
    const at = flags.indexOf(name);
    return at < 0 ? null : flags[at + 1];
};
const value = (name) => (word(name) === null ? null : Number(word(name)));
const protocol = word("--protocol");
const tus = await import(protocol ? "tus-js-client-5" : "tus-js-client");
const breakAt = value("--break-at");
const chunkSize = value("--chunk") ?? Infinity;
const parallelUploads = value("--parallel") ?? 1;
const result = { requests: [], job: null };

// With a file's own stream tus-js-client 4 takes the end of a chunk for the end of the file.
const open = () => {
    const file = fs.createReadStream(path);
    return flags.includes("--defer-length") ? file.pipe(new PassThrough()) : file;
};

const begin = (uploadUrl) =>
    new Promise((resolve, reject) => {
        let broken = false;
        const upload = new tus.Upload(open(), {
            endpoint: `${url}/uploads`,
            uploadUrl,
            chunkSize,
            ...(protocol ? { protocol: uploadUrl ? (word("--then") ?? protocol) : protocol } : {}),
            ...(parallelUploads > 1
                ? { parallelUploads }
                : flags.includes("--defer-length")
                  ? { uploadLengthDeferred: true }
                  : { uploadSize: fs.statSync(path).size }),
            uploadDataDuringCreation: flags.includes("--with-upload"),
            retryDelays: [0, 200, 500],
            metadata: { filename: "from tus-js.jpg", filetype: "image/jpeg" },
            onAfterResponse(request, response) {
                result.requests.push([request.getMethod(), response.getStatus()]);
                const link = response.getHeader("Link");
                if (link) result.job = link.match(/<([^>]*)>; rel="status"/)[1];
            },
            onProgress(sent) {
                if (breakAt !== null && !uploadUrl && sent >= breakAt && !broken) {
                    broken = true;
                    upload.abort().then(() => resolve({ broken: true, url: upload.url }), reject);
                }
            },
            onError: reject,
            onSuccess: () => resolve({ broken: false, url: upload.url }),
        });
        upload.start();
    });

let end = await begin(null);
if (end.broken) {
    result.brokenAt = breakAt;
    end = await begin(end.url);
}
result.url = end.url;
if (flags.includes("--terminate")) await tus.Upload.terminate(end.url, { retryDelays: [] });
console.log(JSON.stringify(result));
