// One document of what a client saw: a key for each step; a step that fails tells how, and the others go on.
"use strict";

exports.sandbox = JSON.parse(process.env.SANDBOX);

exports.run = async (steps) => {
  const seen = {};
  for (const [name, step] of Object.entries(steps)) {
    try {
      seen[name] = await step();
    } catch (error) {
      seen[name] = { raised: String((error && error.stack) || JSON.stringify(error)) };
    }
  }
  console.log(JSON.stringify(seen));
};

// What the client says where it is refused; `told` takes from the error what the test looks at.
exports.refused = (promise, told) =>
  promise.then((answer) => { throw new Error(`not refused: ${JSON.stringify(answer)}`); }, told);
