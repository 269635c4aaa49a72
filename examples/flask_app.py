"""One route of a Flask application that answers an uploaded image.

    pip install edge-mri flask
    flask --app examples/flask_app run
    curl -F file=@scan.png http://127.0.0.1:5000/classify

For a service with limits, tokens, metrics and a page use `edge-mri serve`; this shows how little it
takes to have answers in an application of your own.
"""

from flask import Flask, Response, jsonify, request

from edge_mri import Classifier, EdgeMriError

app = Flask(__name__)
app.config["MAX_CONTENT_LENGTH"] = 32 * 2**20
classifier = Classifier.load()


@app.post("/classify")
def classify() -> Response | tuple[Response, int]:
    """Answer the file of the form."""
    file = request.files.get("file")
    if file is None:
        return jsonify(error="expected a form with a file"), 400
    try:
        return jsonify(classifier.predict(file.read()).to_dict())
    except EdgeMriError as error:
        return jsonify(error=str(error)), 422
