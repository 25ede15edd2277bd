import LatencyOracle
import ServingCore

/// Efficiency factors of the experts of one model on one accelerator in one weight format over all its parallel layouts, and
/// of one of these layouts, each drawn towards the level above; the uppermost is the accelerator's.
///
/// Expert kernels differ by shape, which no feature tells: in 8 bits they are a fifth to a half off with the factors of their
/// accelerator. Dense work has no factors of a model's own: they bring kernel times of rows left out little nearer, and a
/// measured deployment whose kernel times say too much (Llama-2-7B on H100) from 3 to 25 % off. How firmly factors are held is
/// chosen for each accelerator and format by predicting rows that were left out.
struct KernelsOfModels {
    /// A model on an accelerator in a weight format, in one layout or in any.
    struct Deployment: Hashable {
        var scope: KernelHierarchy.Scope
        var model: String
        /// nil: any.
        var layout: Layout?

        /// Ranks.
        struct Layout: Hashable {
            var tensorParallel: Int
            var expertParallel: Int
        }

        init(_ facts: DeploymentFacts) {
            scope = KernelHierarchy.Scope(facts)
            model = facts.modelName
            layout = Layout(
                tensorParallel: facts.tensorParallelSize, expertParallel: facts.expertParallelSize)
        }

        /// The same in any layout.
        var inAnyLayout: Deployment {
            var result = self
            result.layout = nil
            return result
        }

        /// Which deployments these are.
        var modelScope: ModelScope {
            var result = ModelScope()
            result.model = model
            result.accelerator = scope.accelerator
            result.weightFormat = scope.format
            result.tensorParallelSize = layout?.tensorParallel
            result.expertParallelSize = layout?.expertParallel
            // More specific than the accelerator's.
            result.mixtureOfExperts = layout == nil ? true : nil
            return result
        }
    }

    /// Rows of a deployment, predicted without them.
    struct LeftOut {
        var deployment: Deployment
        var predictions: [(predicted: Double, measured: Double)]
    }

    /// How firmly factors are held at those of the level above: what is tried.
    static let candidates = [0.02, 0.1, 0.5, 2, 8]
    /// Fewer rows than this have no factors of their own.
    static let leastRows = 15
    /// Parts of a deployment's rows, each predicted by the others.
    static let parts = 5
    /// Errors count up to this when candidates are compared, so that one row decides nothing.
    static let greatestError = 0.5

    /// Factors, models before their layouts, in the order of their first rows.
    let all: [(deployment: Deployment, factors: [Double])]
    /// Every layout, its rows predicted without them; and every layout of models with several, predicted by the others.
    let leftOut: [LeftOut]
    private let places: [Deployment: Int]

    /// Learns from rows of mixtures of experts.
    /// - Parameters:
    ///   - facts: deployment of each.
    ///   - experts: columns that are fitted.
    ///   - above: factors of the accelerator for each row.
    init(_ rows: DesignRows, facts: [DeploymentFacts], experts: [Int], above: [[Double]]) {
        let learned = Learned(
            rows: rows, deployments: facts.map(Deployment.init), experts: experts, above: above)
        var all: [(Deployment, [Double])] = []
        var leftOut: [LeftOut] = []
        var scopes: [KernelHierarchy.Scope] = []
        for deployment in learned.deployments where !scopes.contains(deployment.scope) {
            scopes.append(deployment.scope)
        }
        for scope in scopes {
            let members = learned.deployments.indices.filter { learned.deployments[$0].scope == scope }
            var best: (error: Double, shrinkage: Double, predictions: [Int: Double]) = (.infinity, 0, [:])
            for shrinkage in Self.candidates {
                let predictions = learned.crossValidated(members, shrinkage)
                let error = learned.error(predictions)
                if error < best.error { best = (error, shrinkage, predictions) }
            }
            let factors = learned.factors(members, best.shrinkage)
            all += factors
            for (deployment, _) in factors where deployment.layout != nil {
                let own = members.filter { learned.deployments[$0] == deployment }
                leftOut.append(learned.leftOut(deployment, own) { best.predictions[$0] })
                let others = members.filter {
                    learned.deployments[$0].model == deployment.model && learned.deployments[$0] != deployment
                }
                guard let model = learned.factors(others, best.shrinkage).first else { continue }
                leftOut.append(
                    learned.leftOut(deployment.inAnyLayout, own) { learned.prediction($0, model.factors) })
            }
        }
        self.all = all
        self.leftOut = leftOut
        places = Dictionary(uniqueKeysWithValues: all.indices.map { (all[$0].0, $0) })
    }

    /// Factors for a deployment: of its layout, else of its model; nil for a model without.
    func coefficients(_ facts: DeploymentFacts) -> [Double]? {
        let deployment = Deployment(facts)
        return (places[deployment] ?? places[deployment.inAnyLayout]).map { all[$0].factors }
    }
}

/// Rows to learn from, and fits of some of them.
private struct Learned {
    typealias Deployment = KernelsOfModels.Deployment

    let rows: DesignRows
    let deployments: [Deployment]
    let experts: [Int]
    let above: [[Double]]

    /// Factors of the models of some rows and of their layouts, models first.
    func factors(_ members: [Int], _ shrinkage: Double) -> [(deployment: Deployment, factors: [Double])] {
        var order: [Deployment] = []
        var own: [Deployment: [Int]] = [:]
        for row in members {
            for deployment in [deployments[row].inAnyLayout, deployments[row]] {
                if own[deployment] == nil { order.append(deployment) }
                own[deployment, default: []].append(row)
            }
        }
        var result: [(deployment: Deployment, factors: [Double])] = []
        var known: [Deployment: [Double]] = [:]
        for deployment in order {
            let rows = own[deployment]!
            guard rows.count >= KernelsOfModels.leastRows else { continue }
            let model = deployment.inAnyLayout
            // A model with one layout has that layout's factors.
            let isOnlyLayout = deployment.layout != nil && own[model]!.count == rows.count
            let factors =
                isOnlyLayout ? known[model]! : fit(rows, prior: known[model] ?? above[rows[0]], shrinkage)
            known[deployment] = factors
            result.append((deployment, factors))
        }
        return result
    }

    private func fit(_ members: [Int], prior: [Double], _ shrinkage: Double) -> [Double] {
        var numbers: [Deployment: Int] = [:]
        for row in members where numbers[deployments[row]] == nil {
            numbers[deployments[row]] = numbers.count
        }
        let groups = members.map { numbers[deployments[$0]]! }
        return ShrunkenFit.fit(
            rows.selecting(members), weights: equalWeights(groups),
            free: experts, prior: prior,
            shrinkage: shrinkage
        ).coefficients
    }

    func prediction(_ row: Int, _ factors: [Double]) -> Double {
        zip(rows.row(row), factors).reduce(0) { $0 + $1.0 * $1.1 }
    }

    /// Predictions of each row by fits without the part that it is in.
    func crossValidated(_ members: [Int], _ shrinkage: Double) -> [Int: Double] {
        var seen: [Deployment: Int] = [:]
        let parts = members.map { row in
            defer { seen[deployments[row], default: 0] += 1 }
            return seen[deployments[row], default: 0] % KernelsOfModels.parts
        }
        var result: [Int: Double] = [:]
        for part in 0..<KernelsOfModels.parts {
            let fitted = factors(members.indices.filter { parts[$0] != part }.map { members[$0] }, shrinkage)
            let byDeployment = Dictionary(uniqueKeysWithValues: fitted.map { ($0.deployment, $0.factors) })
            for (place, row) in members.enumerated() where parts[place] == part {
                let own = byDeployment[deployments[row]] ?? byDeployment[deployments[row].inAnyLayout]
                result[row] = prediction(row, own ?? above[row])
            }
        }
        return result
    }

    /// Mean relative error, each row's up to a bound.
    func error(_ predictions: [Int: Double]) -> Double {
        predictions.keys.sorted().reduce(0) { sum, row in
            let target = rows.targets[row]
            return sum + min(abs(predictions[row]! - target) / target, KernelsOfModels.greatestError)
        } / Double(max(1, predictions.count))
    }

    func leftOut(_ deployment: Deployment, _ members: [Int], _ prediction: (Int) -> Double?)
        -> KernelsOfModels.LeftOut
    {
        KernelsOfModels.LeftOut(
            deployment: deployment,
            predictions: members.compactMap { row in
                prediction(row).map { (predicted: $0, measured: rows.targets[row]) }
            })
    }
}
