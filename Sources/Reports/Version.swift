/// Version of Stepcast, as `stepcast --version` and every result file give it.
public let stepcastVersion = "0.1.0"
